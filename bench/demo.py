"""The demo's scenario on three seeds: for each figure the worst of the three.

A seeded crowd is a simulation: this says that the house does what it was built to do, and nothing about other crowds.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from served import figures_out

SEEDS = (1, 2, 3)
PICTURE = Path(__file__).parent / "demo.svg"
AGAINST = f"the scenario deepseek-2025-01 on seeds {', '.join(map(str, SEEDS))}; the worst of them"


def besieged(seed: int) -> dict[str, Any]:
    """The result of one demo."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "doorward", "demo", "--seed", str(seed), "--json"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=240)
        if seed == SEEDS[0]:
            PICTURE.write_text(picture((Path(folder) / "demo-report.html").read_text()))
        found: dict[str, Any] = json.loads((Path(folder) / "demo-result.json").read_text())
        return found


def picture(report: str) -> str:
    """The report's picture as a file of its own, in English, with the report's colours for light and dark."""
    style, drawing = (
        re.search(r"<style>(.*?)</style>", report, re.DOTALL),
        re.search(r"<svg.*?</svg>", report, re.DOTALL),
    )
    rules = re.findall(
        r"^(?:svg|\.(?:ph-|grid|rail|lv-|bar-|door|dot-|median|base))[^{]*\{[^\n]*", style[1], re.MULTILINE
    )
    english = re.sub(r'<text[^>]*lang="zh-Hans"[^>]*>.*?</text>', "", drawing[0], flags=re.DOTALL)
    head, body = english.split(">", 1)
    ground = '<rect width="100%" height="100%" fill="var(--surface)"/>'
    return (
        f'{head} xmlns="http://www.w3.org/2000/svg"><style>{_colours(style[1])}{"".join(rules)}</style>{ground}{body}\n'
    )


def _colours(style: str) -> str:
    """The custom properties: `:root` and its dark twin, as they stand at the head of the report's style."""
    return style[: style.index("*{box-sizing")].strip()


def percent(part: float, whole: float) -> float:
    """A share in per cent."""
    return 100 * part / whole if whole else 0.0


def main() -> None:
    """Measure and print."""
    runs = [besieged(seed) for seed in SEEDS]
    people = [run["people"] for run in runs]
    bots = [run["bots"] for run in runs]
    existing = [run["existing"] for run in runs]
    reopened = all(run["reopened_after_s"] is not None for run in runs)
    first = [run["first_action_s"] for run in runs]
    worst = {
        "demo_existing_ok_percent": (min(percent(e["ok"], e["requests"]) for e in existing), "%"),
        "demo_existing_challenged": (max(e["challenged"] for e in existing), "people"),
        "demo_people_in_percent": (min(percent(p["admitted"] + p["probation"], p["attempted"]) for p in people), "%"),
        "demo_people_lost": (max(p["lost"] for p in people), "people"),
        "demo_bots_admitted_percent": (max(percent(b["admitted"], b["attempted"]) for b in bots), "%"),
        "demo_first_action_s": (max(first) if None not in first else 3600, "s"),
        "demo_runs_reopened": (sum(run["reopened_after_s"] is not None for run in runs), "runs of 3"),
        "demo_takeovers": (max(run["stuffing"]["takeovers"] for run in runs), "accounts"),
    }
    detail = "Reopened by itself in every run." if reopened else "It did not reopen by itself in every run."
    figures_out({name: (round(value, 3), unit, AGAINST, detail) for name, (value, unit) in worst.items()})


if __name__ == "__main__":
    main()
