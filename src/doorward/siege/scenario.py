"""Scenarios: data files that say who comes, how many, and how they behave. Rates are arrivals per second."""

from pathlib import Path
from typing import Annotated, Final

import msgspec

from doorward.siege.model import Phase, Span

_FOLDER: Final = Path(__file__).parent / "scenarios"

Rate = Annotated[float, msgspec.Meta(ge=0, le=200, description="arrivals per second")]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=600)]
Sigma = Annotated[float, msgspec.Meta(ge=0, le=2, description="spread of a log-normal time, in log units")]
Micros = Annotated[float, msgspec.Meta(gt=0, le=100_000, description="microseconds per derivation")]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=400)]
Multipliers = Annotated[list[Annotated[float, msgspec.Meta(ge=0, le=10)]], msgspec.Meta(min_length=1, max_length=500)]


class ScenarioError(Exception):
    """A scenario that cannot be run; the message says why."""


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published figure that the scenario leans on."""

    figure: Text
    source: Text


class Phases(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What share of the run each phase takes; together 1."""

    calm: Share
    surge: Share
    attack: Share = 0.0
    after: Share = 0.0


class Weighted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text and how often it is drawn in relation to its neighbours."""

    text: Text
    weight: Annotated[float, msgspec.Meta(gt=0)]


class People(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """People who want an account, and use it."""

    calm_per_second: Rate
    surge_per_second: Rate
    after_per_second: Rate
    form_median_seconds: Seconds
    form_sigma: Sigma
    code_median_seconds: Seconds
    code_sigma: Sigma
    page_share: Share  # by the HTML forms instead of the JSON API
    no_script_share: Share  # of those by the forms: without JavaScript, thus by the mail link
    password_share: Share
    chats_each: Annotated[int, msgspec.Meta(ge=0, le=20)]
    chat_pause_seconds: Seconds
    device_median_us: Micros  # of one derivation on their own devices
    device_sigma: Sigma
    patience_seconds: Seconds  # how long somebody keeps trying
    surge_shape: Multipliers  # rate multipliers over surge and attack, mean about 1
    mail_domains: Annotated[list[Weighted], msgspec.Meta(min_length=2)]
    clients: Annotated[list[Weighted], msgspec.Meta(min_length=2)]
    languages: Annotated[list[Weighted], msgspec.Meta(min_length=1)]
    networks: Annotated[int, msgspec.Meta(ge=1, le=100_000)]  # number of /24 the people come from


class Existing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """People who already belong and chat all along."""

    users: Annotated[int, msgspec.Meta(ge=1, le=200)]
    owners: Annotated[int, msgspec.Meta(ge=0, le=100)]  # with a password and a known device; some leaked
    session_share: Share  # chat with a session instead of an API key
    chat_every_seconds: Seconds
    prepare_per_second: Annotated[float, msgspec.Meta(gt=0, le=50)]


class Botnet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sign-up botnet that solves proofs and owns mailboxes."""

    per_second: Rate
    addresses: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    networks: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    form_median_seconds: Seconds
    form_sigma: Sigma
    code_median_seconds: Seconds
    code_sigma: Sigma
    device_median_us: Micros
    device_sigma: Sigma
    solvers: Annotated[int, msgspec.Meta(ge=1, le=8)]  # processes, at the lowest priority
    queue_limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)]  # proofs that may wait for a solver
    pacing: Multipliers
    mail_domains: Annotated[list[Weighted], msgspec.Meta(min_length=1)]
    clients: Annotated[list[Weighted], msgspec.Meta(min_length=1)]
    languages: Annotated[list[Weighted], msgspec.Meta(min_length=1)]


class Stuffing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Leaked pairs of address and password, one try per network address."""

    per_second: Rate
    known_share: Share  # tries against accounts that exist here
    correct_share: Share  # of those, with the owner's true password
    owner_logins_per_second: Rate


class Flood(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Traffic that is not about accounts."""

    stolen_keys: Annotated[int, msgspec.Meta(ge=0, le=20)]
    stolen_key_calls_per_second: Rate
    slow_connections: Annotated[int, msgspec.Meta(ge=0, le=500)]
    forged_per_second: Rate


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole scenario."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9-]{1,40}$")]
    title: Text
    summary: Text
    summary_zh: Text
    sources: Annotated[list[Source], msgspec.Meta(min_length=1)]
    phases: Phases
    people: People
    existing: Existing
    reopen_patience_share: Annotated[float, msgspec.Meta(ge=0, le=2)]  # of the run: how long to wait for reopening
    botnet: Botnet | None = None
    stuffing: Stuffing | None = None
    flood: Flood | None = None

    @property
    def has_attack(self) -> bool:
        """Whether anybody attacks."""
        return self.phases.attack > 0

    def spans(self, seconds: float) -> tuple[Span, ...]:
        """The phases laid over a run of `seconds`; a phase without a share is left out."""
        spans, start = [], 0.0
        for phase in Phase:
            share = getattr(self.phases, phase.value)
            if share > 0:
                spans.append(Span(phase, start, start + share * seconds))
                start += share * seconds
        return tuple(spans)


def scenario_names() -> list[str]:
    """The scenarios that come with Doorward."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load_scenario(name: str) -> Scenario:
    """A scenario by its name, or from a file by its path (anything ending in `.toml`).

    Raises:
        ScenarioError: there is none, or it is not right.
    """
    path = Path(name) if name.endswith(".toml") else _FOLDER / f"{name}.toml"
    if not name.endswith(".toml") and name not in scenario_names():
        raise ScenarioError(
            f"no scenario {name!r}; there are: {', '.join(scenario_names())}, or a path to a .toml file"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ScenarioError(f"cannot read {path}: {error.strerror}") from error
    return parse_scenario(content, str(path))


def parse_scenario(content: bytes, origin: str) -> Scenario:
    """A scenario from the bytes of a TOML file; `origin` names it in messages.

    Raises:
        ScenarioError: it is not TOML, not of the schema, or contradicts itself.
    """
    try:
        scenario = msgspec.toml.decode(content, type=Scenario)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ScenarioError(f"{origin}: {error}") from error
    mistakes = list(_contradictions(scenario))
    if mistakes:
        raise ScenarioError(f"{origin}: " + "; ".join(mistakes))
    return scenario


def _contradictions(scenario: Scenario) -> list[str]:
    phases = scenario.phases
    mistakes = []
    if abs(phases.calm + phases.surge + phases.attack + phases.after - 1) > 1e-6:
        mistakes.append("`phases`: the shares do not add up to 1")
    if phases.calm <= 0:
        mistakes.append("`phases.calm`: without a calm phase there are no quiet figures to compare with")
    attackers = [part for part in (scenario.botnet, scenario.stuffing, scenario.flood) if part is not None]
    if phases.attack > 0 and not attackers:
        mistakes.append("`phases.attack`: nobody attacks; give `botnet`, `stuffing` or `flood`")
    if attackers and phases.attack <= 0:
        mistakes.append("`phases.attack`: attackers but no time for them")
    if scenario.stuffing is not None and scenario.existing.owners == 0:
        mistakes.append("`existing.owners`: stuffing needs owners with passwords")
    domains = [w.text for w in scenario.people.mail_domains]
    domains += [w.text for w in scenario.botnet.mail_domains] if scenario.botnet else []
    if any(not domain.endswith((".example", ".test", ".invalid")) for domain in domains):
        mistakes.append("`mail_domains`: only reserved names (.example, .test, .invalid; RFC 2606): no mail may go out")
    return mistakes
