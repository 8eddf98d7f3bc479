"""What a person sees while a siege runs: a live screen on a terminal, plain lines elsewhere."""

import asyncio
from collections import Counter
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from doorward.siege.ground import Ground
from doorward.siege.judging import Finding
from doorward.siege.model import Outcome, Phase, Side
from doorward.siege.scoring import OPEN, quantile
from doorward.siege.watch import PostureWatch

FRAMES_PER_SECOND: Final = 2  # drawing costs the siege's own event loop a few milliseconds each time
LINE_EVERY_SECONDS: Final = 5.0
MOST_COHORTS: Final = 6
_SPARKS: Final = "▁▂▃▄▅▆▇█"
_COLOURS: Final = {"open": "green", "careful": "yellow", "probation": "dark_orange", "waitlist": "magenta"}
_PHASES: Final = {
    Phase.CALM: ("calm", "green"),
    Phase.SURGE: ("surge of people", "cyan"),
    Phase.ATTACK: ("attack", "bold red"),
    Phase.AFTER: ("after", "green"),
}


class Screen:
    """Follows a siege. Use as an asynchronous context manager around `lay_siege`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._live is not None:
            self._live.stop()

    def preparing(self, what: str) -> None:
        """Say what is being made ready."""
        self._console.print(f"[dim]…[/] {what}", highlight=False)

    def started(self, ground: Ground, watch: PostureWatch) -> None:
        """Begin to follow."""
        work = self._draw(ground, watch) if self._console.is_terminal else self._print_lines(ground, watch)
        self._task = asyncio.create_task(work)

    async def _draw(self, ground: Ground, watch: PostureWatch) -> None:
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        while True:
            self._live.update(frame(ground, watch), refresh=True)
            await asyncio.sleep(1 / FRAMES_PER_SECOND)

    async def _print_lines(self, ground: Ground, watch: PostureWatch) -> None:
        while True:
            await asyncio.sleep(LINE_EVERY_SECONDS)
            self._console.print(line(ground, watch), highlight=False, soft_wrap=True)


def frame(ground: Ground, watch: PostureWatch) -> RenderableType:
    """One picture of the live screen."""
    record = ground.record
    now_s = ground.now_s()
    name, colour = _PHASES[record.phase_at(now_s)]
    title = Text.assemble((f" {record.scenario} ", "bold"), (f" {name} ", colour), (f" {now_s:5.1f} s ", "dim"))
    parts: list[RenderableType] = [
        _progress(ground, now_s),
        Text(),
        _counters(ground),
        Text(),
        _existing(ground, now_s),
        Text(),
    ]
    return Panel(Group(*parts, _posture(ground, watch)), title=title, title_align="left", border_style="dim")


def line(ground: Ground, watch: PostureWatch) -> str:
    """One line where there is no live screen."""
    people, bots = (_counts(ground, side) for side in (Side.PERSON, Side.BOT))
    record = ground.record
    recent = [chat.first_byte_ms for chat in record.chats[-200:] if chat.is_ok]
    tight = sorted(f"{cohort}={level}" for cohort, level in watch.levels.items() if level != OPEN)
    inside = people[Outcome.ADMITTED] + people[Outcome.PROBATION]
    return (
        f"{ground.now_s():5.1f} s  {_PHASES[record.phase_at(ground.now_s())][0]}: people in {inside}, "
        f"lost {people[Outcome.LOST] + people[Outcome.REFUSED]}; bots admitted {bots[Outcome.ADMITTED]} of "
        f"{bots.total()}; existing p99 {_shown(quantile(recent, 0.99))}; "
        f"{'tight: ' + ', '.join(tight[:3]) if tight else 'open'}"
    )


def verdict_table(judged: list[Finding]) -> Table:
    """The table at the end."""
    table = Table(
        title="How it stands to the targets", title_justify="left", title_style="bold", box=None, padding=(0, 2)
    )
    for heading in ("", "target", "this run", ""):
        table.add_column(heading, header_style="dim")
    for finding in judged:
        if finding.is_met is None:
            word = Text("not tested", "dim")
        else:
            word = Text("met", "green") if finding.is_met else Text("fell short", "bold red")
        table.add_row(finding.what, finding.target, finding.got, word)
    return table


def sparkline(values: list[float | None], top: float) -> str:
    """Values as bars of text; a gap where there is none."""
    if top <= 0:
        return ""
    steps = len(_SPARKS) - 1
    return "".join(" " if v is None else _SPARKS[min(steps, int(v / top * steps + 0.5))] for v in values)


def _counts(ground: Ground, side: Side) -> Counter[Outcome]:
    return Counter(signup.outcome for signup in ground.record.signups if signup.side is side)


def _progress(ground: Ground, now_s: float) -> Text:
    width, seconds = 60, ground.record.seconds
    bar = Text()
    for cell in range(width):
        at_s = (cell + 0.5) / width * seconds
        colour = _PHASES[ground.record.phase_at(at_s)][1]
        bar.append("━" if at_s <= now_s else "─", colour if at_s <= now_s else "dim")
    return bar


def _counters(ground: Ground) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("", "came", "admitted", "probation", "wait-list", "held or lost"):
        table.add_column(heading, justify="left" if not heading else "right", header_style="dim")
    for name, side in (("people", Side.PERSON), ("bots", Side.BOT)):
        counts = _counts(ground, side)
        away = counts[Outcome.REFUSED] + counts[Outcome.LOST]
        cells = (counts.total(), counts[Outcome.ADMITTED], counts[Outcome.PROBATION], counts[Outcome.WAITLISTED], away)
        table.add_row(name, *(str(cell) for cell in cells))
    return table


def _existing(ground: Ground, now_s: float) -> Text:
    chats = ground.record.chats
    by_second: dict[int, list[float]] = {}
    for chat in chats:
        if chat.is_ok:
            by_second.setdefault(int(chat.at_s), []).append(chat.first_byte_ms)
    last = int(now_s)
    medians = [quantile(by_second.get(second, []), 0.5) for second in range(max(0, last - 60), last + 1)]
    known = [value for value in medians if value is not None]
    top = max(2 * (quantile(known, 0.5) or 1.0), *known, 0.0) if known else 1.0
    failed = sum(not chat.is_ok for chat in chats)
    latest = [chat.first_byte_ms for chat in chats[-100:] if chat.is_ok]
    return Text.assemble(
        ("existing users  ", ""),
        (sparkline(medians, top), "cyan"),
        (f"  p50 {_shown(quantile(latest, 0.5))}, p99 {_shown(quantile(latest, 0.99))}", ""),
        (f"  {len(chats)} chats, {failed} failed", "red" if failed else "dim"),
    )


def _posture(ground: Ground, watch: PostureWatch) -> Text:
    tight = sorted((cohort, level) for cohort, level in watch.levels.items() if level != OPEN)
    text = Text("the door  ")
    if not tight:
        text.append("open for everybody", "green")
    for cohort, level in tight[:MOST_COHORTS]:
        text.append(f"\n  {level:<9} ", _COLOURS.get(level, ""))
        text.append("everybody" if cohort == "*" else cohort[:70])
    if len(tight) > MOST_COHORTS:
        text.append(f"\n  and {len(tight) - MOST_COHORTS} more", "dim")
    if ground.record.posture:
        last = ground.record.posture[-1]
        text.append(f"\n  {last.at_s:.1f} s: {last.cohort[:50]} {last.from_level} → {last.to_level}: ", "dim")
        text.append(last.reason[:90], "italic dim")
    return text


def _shown(milliseconds: float | None) -> str:
    return "–" if milliseconds is None else f"{milliseconds:.1f} ms"
