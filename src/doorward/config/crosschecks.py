"""Mistakes that show only when settings are seen together, or when a text is read as what it stands for.

Each check is a pure function of the configuration and yields findings that name the settings they rest on; the loader
drops a finding whose settings are no good anyway, so that one mistake is not reported twice.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parseaddr
from importlib.util import find_spec
from typing import Final
from urllib.parse import SplitResult, urlsplit

from doorward.config.fields import Name
from doorward.config.mistakes import Gravity
from doorward.config.settings import Config
from doorward.stores.errors import StoreSetupError
from doorward.stores.sql import parse_url
from doorward.upstream.simulator.faults import parse_fault
from doorward.vault.mistakes import mistakes as ring_mistakes

COUNTERS: Final = ("memory", "redis", "rediss", "valkey", "valkeys")
ORDERABLE: Final = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")
WIDEST_TRUSTED: Final = {4: 8, 6: 16}  # a prefix shorter than this is the internet, not somebody's proxies


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not fit; the first name is the setting to change."""

    names: tuple[Name, ...]
    problem: str
    suggestion: str = ""
    gravity: Gravity = Gravity.ERROR


Check = Callable[[Config], Iterator[Finding]]


def findings(config: Config) -> list[Finding]:
    """What every check finds."""
    return [finding for check in CHECKS for finding in check(config)]


def _public_url(config: Config) -> Iterator[Finding]:
    name = (("server", "public_url"),)
    url = config.server.public_url
    parts = _url(url)
    if not url:
        if not _is_loopback(config.server.host):
            advice = "set it to the address that people type, e.g. `https://ai.example.com`"
            problem = f"is empty: links in mails will point to {config.public_url}"
            yield Finding((*name, ("server", "host")), problem, advice, Gravity.WARNING)
    elif parts is None or parts.scheme not in {"http", "https"}:
        yield Finding(name, "is no web address", "write it as `https://ai.example.com`")
    elif parts.path not in {"", "/"} or parts.query or parts.fragment or parts.username is not None:
        yield Finding(name, "must be an origin only: scheme, host and port", f"`{parts.scheme}://{_host_port(parts)}`")
    elif parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        problem = "is http: cookies cannot be marked Secure and everybody on the way can read them"
        yield Finding(name, problem, "put TLS in front and use https", Gravity.WARNING)


def _trusted_proxies(config: Config) -> Iterator[Finding]:
    name = (("server", "trusted_proxies"),)
    for position, text in enumerate(config.server.trusted_proxies, 1):
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            yield Finding(name, f"entry {position} is no network", _network_advice(text))
            continue
        if network.prefixlen < WIDEST_TRUSTED[network.version]:
            problem = f"entry {position} ({network}) lets nearly anybody pretend to come from any address"
            yield Finding(name, problem, "name only the addresses of your own proxies", Gravity.WARNING)


def _metrics_networks(config: Config) -> Iterator[Finding]:
    name = (("server", "metrics_networks"),)
    for position, text in enumerate(config.server.metrics_networks, 1):
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            yield Finding(name, f"entry {position} is no network", _network_advice(text))
            continue
        if network.prefixlen < WIDEST_TRUSTED[network.version]:
            problem = f"entry {position} ({network}) shows nearly anybody how an attack goes"
            yield Finding(name, problem, "name only your monitoring", Gravity.WARNING)


def _network_advice(text: str) -> str:
    try:
        return f"did you mean `{ipaddress.ip_network(text, strict=False)}`?"
    except ValueError:
        return "write networks as `10.0.0.0/8` or `2001:db8::/32`"


def _database(config: Config) -> Iterator[Finding]:
    name: Name = ("stores", "database")
    url = config.stores.database_url()
    try:
        parsed = parse_url(url)
    except StoreSetupError:
        yield Finding(
            (name,), "is no database that Doorward knows", "`sqlite:///path` or `postgresql://user@host/name`"
        )
        return
    is_sqlite = parsed.get_backend_name() == "sqlite"
    if is_sqlite and parsed.host:
        yield Finding((name,), "has two slashes where SQLite's addresses have three", "`sqlite:///path/to/doorward.db`")
    elif is_sqlite and config.server.role != "all":
        problem = "is SQLite, which one machine has to itself, while `server.role` splits the work"
        yield Finding((name, ("server", "role")), problem, 'use postgresql://… or `role = "all"`', Gravity.WARNING)


def _stores_in_clear(config: Config) -> Iterator[Finding]:
    """Rows and counters on other machines whose bytes others could read or change on the way."""
    try:
        url = parse_url(config.stores.database_url())
    except (StoreSetupError, ValueError):
        return
    host = url.query.get("host", url.host) or ""
    is_elsewhere = url.get_backend_name() == "postgresql" and any(
        each and not each.startswith("/") and not _is_loopback(each)
        for each in (host if isinstance(host, tuple) else (host,))
    )
    if is_elsewhere and url.query.get("sslmode") != "verify-full":
        problem = "is on another machine without `sslmode=verify-full`: who is on the way can read or be the database"
        advice = "add `?sslmode=verify-full&sslrootcert=/path/to/authority.pem`"
        yield Finding((("stores", "database"),), problem, advice, Gravity.WARNING)
    parts = _url(config.stores.counters)
    if parts and parts.scheme in {"redis", "valkey"} and not _is_loopback(parts.hostname or ""):
        problem = "are on another machine without TLS: who is on the way can read and change them"
        advice = f"`{'rediss' if parts.scheme == 'redis' else 'valkeys'}://…?ca_file=/path/to/authority.pem`"
        yield Finding((("stores", "counters"),), problem, advice, Gravity.WARNING)


def _tls(config: Config) -> Iterator[Finding]:
    """What is wrong with TLS on the listener; whether its files are there and good is for the start to see."""
    tls, directory = config.tls, config.stores.data_directory
    if tls.is_on(directory):
        path = tls.key_path(directory)
        if path.is_file() and path.stat().st_mode & 0o007:
            problem = "can be read by everybody on this machine"
            yield Finding((("tls", "key"), ("tls", "mode")), problem, f"chmod 600 {path}", Gravity.WARNING)
        if config.server.public_url.startswith("http:"):
            problem = "is http although the listener speaks TLS: links in mails will not work"
            yield Finding((("server", "public_url"), ("tls", "mode")), problem, "write https", Gravity.WARNING)


def _upstream_tls(config: Config) -> Iterator[Finding]:
    upstream = config.upstream
    for name in ("ca_file", "client_certificate", "client_key"):
        if getattr(upstream, name) and upstream.url.startswith("http:"):
            problem = "has no effect: `upstream.url` is http"
            yield Finding((("upstream", name), ("upstream", "url")), problem, "use https", Gravity.WARNING)
    if upstream.client_key and not upstream.client_certificate:
        names = (("upstream", "client_key"), ("upstream", "client_certificate"))
        yield Finding(names, "has no certificate", "set `upstream.client_certificate`")


def _counters(config: Config) -> Iterator[Finding]:
    name: Name = ("stores", "counters")
    url = config.stores.counters
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in COUNTERS:
        yield Finding((name,), "are no counters that Doorward knows", "`memory://` or `valkey://host:6379/0`")
    elif scheme == "memory" and config.stores.database.startswith("postgres"):
        problem = "are in memory while the database is shared: processes do not see each other's spent proofs and rates"
        advice = "use valkey://… as soon as a second process runs"
        yield Finding((name, ("stores", "database")), problem, advice, Gravity.WARNING)


def _mail(config: Config) -> Iterator[Finding]:
    url, name = config.mail.smtp_url, ("mail", "smtp_url")
    parts = _url(url)
    if url and (parts is None or parts.scheme not in {"smtp", "smtps"}):
        yield Finding((name,), "is no mail server's address", "`smtp://user:password@mail.example.com:587`")
    elif not url and not _is_loopback(_url_host(config.public_url)):
        problem = "is empty: letters stay in the local sink, so nobody outside can confirm an address"
        names = (name, ("server", "public_url"), ("server", "host"))
        yield Finding(names, problem, "name your mail server", Gravity.WARNING)
    address = parseaddr(config.mail.sender)[1]
    if not all(address.rpartition("@")[::2]) or any(letter in config.mail.sender for letter in "\r\n"):
        yield Finding((("mail", "sender"),), "holds no mail address", "`Doorward <doorward@example.com>`")


def _upstream(config: Config) -> Iterator[Finding]:
    name: Name = ("upstream", "url")
    url = config.upstream.url
    parts = _url(url)
    if not url:
        return
    if parts is None or parts.scheme not in {"http", "https"} or parts.query or parts.fragment:
        yield Finding((name,), "is no address of an AI service", "`http://127.0.0.1:8000/v1`")
    elif parts.username is not None:
        yield Finding((name,), "holds a user or password", "use `upstream.api_key`")
    elif _is_own(config, parts):
        names = (name, ("server", "host"), ("server", "port"))
        yield Finding(names, "is Doorward's own address, so requests would go in circles", "name the AI service's")
    elif parts.scheme == "http" and config.upstream.api_key and not _is_loopback(parts.hostname or ""):
        problem = "is http to another machine: everybody on the way can read the API key"
        yield Finding((name, ("upstream", "api_key")), problem, "use https", Gravity.WARNING)


def _api_key(config: Config) -> Iterator[Finding]:
    key = config.upstream.api_key
    if any(not 33 <= ord(letter) <= 126 for letter in key):
        yield Finding((("upstream", "api_key"),), "holds characters that cannot stand in a header")


def _health_path(config: Config) -> Iterator[Finding]:
    path = config.upstream.health_path
    if any(not 33 <= ord(letter) <= 126 for letter in path) or "#" in path:
        yield Finding(
            (("upstream", "health_path"),),
            "is no path of an address",
            "`models`, or `/health` where the service has that",
        )


def _faults(config: Config) -> Iterator[Finding]:
    for text in config.upstream.simulator_faults:
        try:
            parse_fault(text)
        except ValueError as error:
            yield Finding((("upstream", "simulator_faults"),), str(error), "e.g. `error:0.05` or `stall:0.1@30-60`")


def _contact(config: Config) -> Iterator[Finding]:
    contact = config.server.security_contact
    if contact and not (contact.startswith(("mailto:", "https://", "tel:")) and contact.isprintable()):
        advice = f"did you mean `mailto:{contact}`?" if "@" in contact and contact.isprintable() else "RFC 9116"
        yield Finding((("server", "security_contact"),), "must begin with `mailto:`, `https://` or `tel:`", advice)


def _key_ring(config: Config) -> Iterator[Finding]:
    for one in ring_mistakes(config.vault):
        gravity = Gravity.ERROR if one.is_fatal else Gravity.WARNING
        yield Finding((("vault", one.name),), one.problem, one.suggestion, gravity)


def _acme(config: Config) -> Iterator[Finding]:
    acme, name = config.acme, ("acme", "domains")
    if not acme.is_on:
        return
    for position, domain in enumerate(acme.domains, 1):
        if not _is_orderable(domain):
            problem = f"entry {position} is no name that can be proved over HTTP (no wildcards, no port, no scheme)"
            yield Finding((name,), problem, "`ai.example.com`")
    host = _url_host(config.server.public_url)
    if host not in {domain.lower() for domain in acme.domains}:
        problem = "are without the host of `server.public_url`, which is what people type"
        yield Finding((name, ("server", "public_url")), problem, "name it in both")
    if find_spec("acme") is None:
        yield Finding((name,), "need a library that is not installed", "`pip install 'doorward[acme]'`")
    if not acme.agree_to_terms:
        yield Finding((("acme", "agree_to_terms"),), "must be true: authorities ask for it", "read their terms first")
    if config.tls.mode in {"local", "off"}:
        problem = f"is {config.tls.mode}, so nobody would see the certificate that is ordered"
        yield Finding((("tls", "mode"), name), problem, 'use "auto" or "files"')
    for setting in ("directory", "staging_directory"):
        parts = _url(getattr(acme, setting))
        if parts is None or parts.scheme != "https":
            yield Finding((("acme", setting),), "is no https address", "`https://acme.example.com/directory`")
    if bool(acme.external_account_id) != bool(acme.external_account_key):
        yield Finding((("acme", "external_account_key"), ("acme", "external_account_id")), "goes with the other")


def _redirect(config: Config) -> Iterator[Finding]:
    name, port = ("server", "redirect_port"), config.server.redirect_port
    if not port:
        if config.acme.is_on:
            problem = "is 0, so something else must lead `/.well-known/acme-challenge/` from port 80 to us"
            yield Finding((name, ("acme", "domains")), problem, "`redirect_port = 80`", Gravity.WARNING)
    elif not config.server.public_url.startswith("https://"):
        yield Finding((name, ("server", "public_url")), "leads to `server.public_url`, which is not https", "")
    elif port == config.server.port:
        yield Finding((name, ("server", "port")), "is `server.port`, which is taken already", "80")


CHECKS: Final[tuple[Check, ...]] = (
    _public_url, _trusted_proxies, _metrics_networks, _database, _stores_in_clear, _counters, _tls, _upstream_tls,
    _mail, _upstream, _api_key, _health_path, _faults, _contact, _key_ring, _acme, _redirect,
)  # fmt: skip


def _url(text: str) -> SplitResult | None:
    """The parts of an address with a host and, if any, a possible port."""
    if not text.isascii() or not text.isprintable() or " " in text:
        return None
    try:
        parts = urlsplit(text)
        is_possible = parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        return None
    return parts if is_possible else None


def _is_orderable(domain: str) -> bool:
    try:
        return bool(ipaddress.ip_address(domain))
    except ValueError:
        return ORDERABLE.fullmatch(domain.lower()) is not None


def _url_host(text: str) -> str:
    parts = _url(text)
    return (parts.hostname if parts else None) or ""


def _host_port(parts: SplitResult) -> str:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{parts.port}" if parts.port else host


def _is_own(config: Config, parts: SplitResult) -> bool:
    """Whether an address is where this server itself listens."""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    same_host = parts.hostname == config.server.host or _is_loopback(parts.hostname or "")
    return port == config.server.port != 0 and same_host and parts.scheme == "http"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
