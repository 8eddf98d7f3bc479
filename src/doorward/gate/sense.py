"""Arrival → Signals: small codes that say who came and how, and nothing more than that.

1. The address becomes its /24 (IPv4) or /48 (IPv6): what one customer of a network is usually given.
2. The mail address becomes its domain and the *pattern* of its local part; the part itself is not kept.
3. The client becomes family, major version and system. Client hints win over the user agent where both speak,
   because browsers freeze the latter (RFC 9110 10.1.5; UA reduction).
4. Times become logarithmic bins of a factor √2: people's times are spread over octaves, a program's are not. A log-in
   has no form time: browsers fill such forms in, so that people's would look like a program's sign-ups.
"""

import ipaddress
import math
import re
from typing import Final

from doorward.gate.model import UNKNOWN_BIN, Signals
from doorward.hall.model import Arrival, Attempt

BINS: Final = 40
_PER_OCTAVE: Final = 2
_FORM_UNIT_SECONDS: Final = 0.125
_SOLVER_UNIT_MICROSECONDS: Final = 8.0
_SPENT_UNIT_MILLISECONDS: Final = 1.0
_SHAPE_LIMIT: Final = 12
_FAMILIES: Final = (
    # Order matters: every Chromium browser also says Chrome and Safari.
    ("headless", re.compile(r"HeadlessChrome/(\d{1,4})")),
    ("edge", re.compile(r"Edg(?:e|A|iOS)?/(\d{1,4})")),
    ("opera", re.compile(r"OPR/(\d{1,4})")),
    ("samsung", re.compile(r"SamsungBrowser/(\d{1,4})")),
    ("firefox", re.compile(r"(?:Firefox|FxiOS)/(\d{1,4})")),
    ("chrome", re.compile(r"(?:Chrome|CriOS)/(\d{1,4})")),
    ("safari", re.compile(r"Version/(\d{1,4})[^ ]* (?:Mobile/\S+ )?Safari/")),
)
_SYSTEMS: Final = (
    ("android", "Android"),
    ("ios", "iPhone"),
    ("ios", "iPad"),
    ("windows", "Windows"),
    ("macos", "Mac OS X"),
    ("chromeos", "CrOS"),
    ("linux", "Linux"),
)
_OTHER_CLIENT: Final = re.compile(r"([A-Za-z][A-Za-z0-9_.-]{0,23})(?:/v?(\d{1,4}))?")
_HINT: Final = re.compile(r'"([^"]{1,40})";\s*v="(\d{1,4})')
_HINT_FAMILIES: Final = {"google chrome": "chrome", "microsoft edge": "edge", "opera": "opera", "chromium": "chromium"}
_LANGUAGE: Final = re.compile(r"\s*([A-Za-z]{2,3})(?:-|_|;|,|\s|$)")


def sense(arrival: Arrival, form_seconds: float | None = None, work: tuple[float, int] | None = None) -> Signals:
    """The arrival's signals. `work` is (stated milliseconds, counter found) of its proof, if it has one."""
    local, _, domain = arrival.email.rpartition("@")
    milliseconds, counter = work or (0.0, 0)
    return Signals(
        at=arrival.at,
        attempt=arrival.attempt,
        mail=domain.lower(),
        network=network_of(arrival.address),
        client=client_of(arrival.user_agent, arrival.client_hints),
        language=language_of(arrival.languages),
        shape=shape_of(local),
        form=form_bin(form_seconds) if arrival.attempt is Attempt.SIGNUP else UNKNOWN_BIN,
        solver=_log_bin(1000 * milliseconds / counter, _SOLVER_UNIT_MICROSECONDS) if counter > 0 else UNKNOWN_BIN,
        spent=_log_bin(milliseconds, _SPENT_UNIT_MILLISECONDS),
        has_password=arrival.has_password,
    )


def network_of(address: str) -> str:
    """The /24 or /48 around an address; `unknown` for what is none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    bits = 24 if parsed.version == 4 else 48
    return str(ipaddress.ip_network((parsed, bits), strict=False))


def client_of(user_agent: str, client_hints: str = "") -> str:
    """Family, major version and system, e.g. `chrome/131/windows`; `none` for a client that says nothing."""
    system = next((name for name, mark in _SYSTEMS if mark in user_agent), "other")
    for brand, version in _HINT.findall(client_hints):
        family = _HINT_FAMILIES.get(brand.lower())
        if family is not None and family != "chromium":
            return f"{family}/{version}/{system}"
    for family, pattern in _FAMILIES:
        if match := pattern.search(user_agent):
            return f"{family}/{match[1]}/{system}"
    if match := _OTHER_CLIENT.match(user_agent):
        return f"{match[1].lower()}/{match[2] or 0}/{system}"
    return "none"


def language_of(accept_language: str) -> str:
    """The primary tag that stands first in Accept-Language; `none` without one."""
    match = _LANGUAGE.match(accept_language)
    return match[1].lower() if match else "none"


def shape_of(local: str) -> str:
    """The pattern of a local part: letters, digits and marks in their order.

    `jane.doe84` is `a2.a291`: the lengths of runs are kept in classes of 1-2, 3-4, 5-7, 8-11 and 12 or more, for names
    made by one program agree in them and people's do not.
    """
    parts: list[str] = []
    for run in re.findall(r"[^\W\d_]+|\d+|[\W_]", local):
        if run.isdigit():
            parts.append(f"9{_length_class(len(run))}")
        elif run[0].isalpha():
            parts.append(f"a{_length_class(len(run))}")
        else:
            parts.append(run)
    return "".join(parts)[: 2 * _SHAPE_LIMIT]


def _length_class(length: int) -> int:
    return sum(length >= bound for bound in (1, 3, 5, 8, 12))


def form_bin(seconds: float | None) -> int:
    """The log bin of a form time; `UNKNOWN_BIN` if it was not measured."""
    return UNKNOWN_BIN if seconds is None else _log_bin(seconds, _FORM_UNIT_SECONDS)


def form_seconds_of(code: int) -> float:
    """The lower bound in seconds of a form-time bin."""
    return _FORM_UNIT_SECONDS * 2 ** (code / _PER_OCTAVE)


def _log_bin(value: float, unit: float) -> int:
    if not math.isfinite(value) or value <= 0:
        return UNKNOWN_BIN
    return min(BINS - 1, max(0, math.floor(_PER_OCTAVE * (math.log2(value) - math.log2(unit)))))
