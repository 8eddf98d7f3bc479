"""`make bench`: run the benchmarks, keep their figures in `results.json`, and draw them in `RESULTS.md`.

A benchmark is a script that prints one JSON object: `{name: {"value", "unit", "against"}}`, optionally with `detail`
(a short text) or instead `{"skipped": "why"}` where a peer such as nginx is missing. What it prints to standard error
is for the person who waits. Figures of benchmarks that were not run this time stay as they were, with their own date.
"""

import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from report import render

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
TIME_LIMIT_SECONDS = 1_200

# Which script measures which figures; the names are stable.
SCRIPTS = {
    "install.py": ("install",),
    "hot/authorize.py": ("authorize_vs_nginx",),
    "hot/refuse.py": ("refuse_vs_nginx",),
    "hot/relay.py": ("relay_vs_nginx",),
    "hot/tls.py": ("tls_handshakes_vs_nginx", "tls_authorize_vs_nginx", "tls_relay_vs_nginx"),
    "hot/sealed.py": ("sealed_reads_per_s", "sealed_raw_reads_per_s", "blind_lookup_added_us"),
    "flood.py": ("flood_existing_p99_added_ms",),
    "backup.py": ("backup_mb_per_s", "restore_million_s"),
    "rotation.py": ("rotation_s_per_million", "rotation_existing_p99_ratio"),
    "recording.py": ("token_path_slowdown", "token_path_slowdown_recording"),
    "signup.py": ("signup_vs_argon2",),
    "demo.py": ("demo",),
}


def machine() -> str:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    kernel = platform.release().split("-")[0]
    processor = models[0] if models else platform.machine()
    return f"{cores} × {processor}, {memory:.0f} GiB, Linux {kernel}, Python {platform.python_version()}"


def measure(script: str) -> dict[str, dict[str, object]]:
    """Run one benchmark.

    Raises:
        RuntimeError: it failed, took too long, or printed something else than its figures.
    """
    started = time.perf_counter()
    sys.stderr.write(f"{script} …\n")
    command = [sys.executable, str(HERE / script), "--json"]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=TIME_LIMIT_SECONDS, check=True, cwd=HERE.parent)
        figures: dict[str, dict[str, object]] = json.loads(done.stdout)
    except (subprocess.SubprocessError, json.JSONDecodeError) as error:
        raise RuntimeError(f"{script}: {error}") from error
    sys.stderr.write(f"{script}: {time.perf_counter() - started:.0f} s\n")
    return figures


def chosen(only: list[str]) -> list[str]:
    """The scripts to run: all, or those that measure one of the named figures.

    Raises:
        SystemExit: a name is not known.
    """
    known = {name for names in SCRIPTS.values() for name in names}
    if unknown := set(only) - known:
        raise SystemExit(f"no such figure: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    return [script for script, names in SCRIPTS.items() if not only or set(names) & set(only)]


def main(only: list[str]) -> int:
    """Measure, keep and draw; 1 if a benchmark failed."""
    results: dict[str, dict[str, object]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    when = {"date": datetime.now(UTC).date().isoformat(), "machine": machine()}
    failed = []
    for script in chosen(only):
        try:
            figures = measure(script)
        except RuntimeError as error:
            sys.stderr.write(f"failed: {error}\n")
            failed.append(script)
            continue
        for name, figure in figures.items():
            if "skipped" in figure:
                sys.stderr.write(f"skipped: {name}: {figure['skipped']}\n")
            else:
                results[name] = figure | when
        RESULTS.write_text(json.dumps(results, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
        (HERE / "RESULTS.md").write_text(render(results))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
