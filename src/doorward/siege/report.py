"""The page that a siege leaves behind: one self-contained HTML file, readable without a network or JavaScript."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from doorward.siege.judging import Finding, findings
from doorward.siege.model import RunRecord
from doorward.siege.picture import draw, moments
from doorward.siege.scenario import Scenario
from doorward.siege.scoring import Result, endings, quantile

DESK_WIDTH: Final = 960.0
PHONE_WIDTH: Final = 400.0


def render(scenario: Scenario, record: RunRecord, result: Result, made_at: datetime | None = None) -> str:
    """The page as HTML."""
    judged = findings(result, scenario.has_attack)
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            scenario=scenario,
            record=record,
            result=result,
            judged=judged,
            headline=_headline(result, judged),
            pictures=[("desk", draw(record, DESK_WIDTH)), ("phone", draw(record, PHONE_WIDTH))],
            stretch=moments(record),
            lag_p99=quantile((lag.lag_ms for lag in record.lags), 0.99),
            tallies=sorted(record.tallies.items()),
            endings=endings(record),
            made_at=(made_at or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )


def write_report(path: Path, scenario: Scenario, record: RunRecord, result: Result) -> None:
    """Write the page.

    Raises:
        OSError: it cannot be written.
    """
    path.write_text(render(scenario, record, result), encoding="utf-8")


def _headline(result: Result, judged: list[Finding]) -> dict[str, Any]:
    people, bots = result.people, result.bots
    fell_short = [finding for finding in judged if finding.is_met is False]
    return {
        "people_share": _percent(people.admitted + people.probation, people.attempted),
        "bots_share": _percent(bots.attempted - bots.admitted, bots.attempted),
        "is_good": not fell_short,
        "fell_short": len(fell_short),
    }


def _percent(part: int, whole: int) -> str:
    if not whole:
        return "–"
    share = 100 * part / whole
    return f"{share:.0f}" if share in {0.0, 100.0} else f"{share:.1f}"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["ms"] = lambda value: (
        "–" if value is None else f"{value:.1f}" if value < 100 else f"{value:.0f}"
    )
    environment.filters["s"] = lambda value: "–" if value is None else f"{value:.1f} s"
    return environment
