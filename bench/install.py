"""What it takes to have Doorward: packages, the size of the wheel, and memory at rest.

- Packages: everything that `pip install doorward` brings, followed through the installed metadata.
- Memory at rest: the proportional set size of `doorward serve` and its children (the built-in simulator) five seconds
  after it is ready, so that pages which processes share are counted once.
"""

import re
import subprocess
import sys
import time
from importlib.metadata import requires
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.markers import Marker

from served import Served, figures_out

ROOT = Path(__file__).parents[1]
REST_SECONDS = 5


def packages(name: str, found: set[str]) -> set[str]:
    """The packages that `name` needs, without extras, on this machine."""
    for line in requires(name) or []:
        requirement, _, marker = line.partition(";")
        needed = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
        applies = "extra ==" not in marker and (not marker or Marker(marker).evaluate())
        if needed and applies and (canonical := re.sub(r"[-_.]+", "-", needed[0]).lower()) not in found:
            found.add(canonical)
            packages(canonical, found)
    return found


def wheel_megabytes() -> float:
    """The size of the wheel."""
    with TemporaryDirectory() as folder:
        options = ["--quiet", "--no-deps", "--no-build-isolation", "-w", folder]
        subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True, capture_output=True)
        (wheel,) = Path(folder).glob("*.whl")
        return wheel.stat().st_size / 1024**2


def memory_megabytes(pid: int) -> float:
    """The proportional set size of a process and its children."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    own = int(re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[1]) / 1024
    children = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    return own + sum(memory_megabytes(int(child)) for child in children.split())


def main() -> None:
    """Measure and print."""
    with Served() as served:
        time.sleep(REST_SECONDS)
        memory = memory_megabytes(served.process.pid)
    figures_out(
        {
            "install": (len(packages("doorward", set())), "packages", "30 packages", ""),
            "install_wheel_mb": (round(wheel_megabytes(), 2), "MB", "2 MB", ""),
            "install_memory_mb": (round(memory, 1), "MB", "150 MB", "With the built-in simulator of an AI service."),
        }
    )


if __name__ == "__main__":
    main()
