"""Draws `RESULTS.md` from the figures: a table, and a bar per figure with its goal marked."""

from dataclasses import dataclass

BAR_CELLS = 30
EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True)
class Goal:
    """What we want of a figure."""

    words: str
    target: float
    at_least: bool
    about: str

    def reached(self, value: float) -> bool:
        """Whether the figure is on the right side of its goal."""
        return value >= self.target if self.at_least else value <= self.target


GOALS = {
    "authorize_vs_nginx": Goal(
        "≥ 0.55", 0.55, at_least=True, about="`/authorize` with a valid session against nginx `return 204`, per CPU"
    ),
    "refuse_vs_nginx": Goal(
        "≥ 0.7", 0.7, at_least=True, about="refusing a forged or missing proof against nginx `return 503`, per CPU"
    ),
    "relay_vs_nginx": Goal(
        "", 1.0, at_least=True, about="relaying a chat completion against nginx `proxy_pass`, per CPU"
    ),
    "tls_handshakes_vs_nginx": Goal(
        "", 1.0, at_least=True, about="a new TLS connection for each request against nginx, per CPU"
    ),
    "tls_authorize_vs_nginx": Goal(
        "", 1.0, at_least=True, about="`/authorize` over kept TLS connections against nginx `return 204`, per CPU"
    ),
    "tls_relay_vs_nginx": Goal(
        "", 1.0, at_least=True, about="relaying a chat completion over TLS against nginx `proxy_pass`, per CPU"
    ),
    "flood_existing_p99_added_ms": Goal(
        "< 1 ms", 1.0, at_least=False, about="what 2,000 refused sign-ups a second add to existing users' p99"
    ),
    "signup_vs_argon2": Goal(
        "≥ 0.9", 0.9, at_least=True, about="password sign-ups a second against what Argon2id alone allows"
    ),
    "signup_existing_p99_ms": Goal("< 5 ms", 5.0, at_least=False, about="existing users' p99 meanwhile"),
    "backup_mb_per_s": Goal(
        "≥ 200", 200, at_least=True, about="rows backed up: copied, compressed and sealed, a second and core"
    ),
    "restore_million_s": Goal(
        "≤ 300 s", 300, at_least=False, about="from an empty database until a million people are back and served"
    ),
    "sealed_reads_per_s": Goal(
        "≥ 100,000", 100_000, at_least=True, about="sealed fields read through the table layer, a second and core"
    ),
    "sealed_raw_reads_per_s": Goal(
        "≥ 350,000", 350_000, at_least=True, about="envelopes opened without rows, a second and core"
    ),
    "blind_lookup_added_us": Goal("≤ 60 µs", 60, at_least=False, about="what a blind index adds to a look-up"),
    "token_path_slowdown": Goal(
        "≤ 3 %", 3, at_least=False, about="what sealed rows add to the cost of a streamed answer, recording off"
    ),
    "token_path_slowdown_recording": Goal(
        "≤ 3 %", 3, at_least=False, about="what sealed rows and the recording of every exchange add to it"
    ),
    "rotation_s_per_million": Goal(
        "≤ 60 s", 60, at_least=False, about="wrapping the data keys of a million people anew, beside live load"
    ),
    "rotation_existing_p99_ratio": Goal(
        "≤ 1.10", 1.10, at_least=False, about="existing users' p99 during that rotation against before"
    ),
    "install": Goal("≤ 30", 30, at_least=False, about="runtime packages"),
    "install_wheel_mb": Goal("≤ 2 MB", 2, at_least=False, about="the wheel"),
    "install_memory_mb": Goal("≤ 150 MB", 150, at_least=False, about="memory of `doorward serve` at rest"),
    "demo_existing_ok_percent": Goal("≥ 99.9 %", 99.9, at_least=True, about="existing users' requests served"),
    "demo_existing_challenged": Goal("0", 0, at_least=False, about="existing users who were challenged"),
    "demo_people_in_percent": Goal("≥ 95 %", 95, at_least=True, about="newcomers in (admitted or probation)"),
    "demo_people_lost": Goal("0", 0, at_least=False, about="newcomers turned away with no place in line"),
    "demo_bots_admitted_percent": Goal("≤ 5 %", 5, at_least=False, about="bots admitted"),
    "demo_first_action_s": Goal("≤ 10 s", 10, at_least=False, about="seconds until the gate first acted"),
    "demo_runs_reopened": Goal("3", 3, at_least=True, about="runs in which the door reopened by itself"),
    "demo_takeovers": Goal("0", 0, at_least=False, about="accounts taken over by leaked passwords"),
}


def bar(value: float, goal: Goal) -> str:
    """The figure as a bar in which the goal stands at two thirds: `█████▌    |`."""
    scale = 1.5 * max(goal.target, 1e-9 if goal.target else 1)
    cells = max(0.0, min(1.0, value / scale)) * BAR_CELLS
    drawn = "█" * int(cells) + EIGHTHS[int(cells % 1 * 8)].strip()
    mark = round(BAR_CELLS * goal.target / scale)
    line = list(drawn.ljust(BAR_CELLS))
    line[min(mark, BAR_CELLS - 1)] = "┃" if line[min(mark, BAR_CELLS - 1)] == " " else "╂"
    return "".join(line)


def amount(value: float) -> str:
    """A figure with as many digits as it means."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 20 else f"{value:.2f}"


def render(results: dict[str, dict[str, object]]) -> str:
    """The whole page."""
    machines = sorted({str(figure["machine"]) for figure in results.values()})
    lines = [
        "# What was measured",
        "",
        "Written by `make bench` from `results.json`. Ratios compare two programs in one run on one machine, in turns,",
        "by the processor time that each request costs the server. `┃` marks the goal.",
        "",
        f"Machine: {'; '.join(machines) or 'none yet'}.",
        "",
        "| figure | value | goal | | date |",
        "|---|---|---|---|---|",
    ]
    for name, figure in sorted(results.items(), key=lambda item: [*GOALS, item[0]].index(item[0])):
        value, goal = float(str(figure["value"])), GOALS.get(name)
        words, met = (
            (goal.words, "reached" if goal.reached(value) else "**not reached**") if goal and goal.words else ("", "")
        )
        unit = "" if figure["unit"] == "ratio" else f" {figure['unit']}"
        lines.append(f"| `{name}` | {amount(value)}{unit} | {words} | {met} | {figure['date']} |")
    lines += ["", "```"]
    width = max((len(name) for name in results), default=0)
    for name in [name for name in GOALS if name in results]:
        value = float(str(results[name]["value"]))
        lines.append(
            f"{name.ljust(width)}  {bar(value, GOALS[name])}  {amount(value)} ({GOALS[name].words or 'no goal'})"
        )
    lines += ["```", "", "## What each figure is", ""]
    for name in [name for name in GOALS if name in results]:
        detail = f" {results[name]['detail']}" if results[name].get("detail") else ""
        lines.append(f"- `{name}`: {GOALS[name].about}.{detail}")
    return "\n".join([*lines, ""])
