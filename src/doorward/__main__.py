"""`python -m doorward` and the command `doorward`."""

import sys
import threading

from doorward import logs
from doorward.cli import app
from doorward.vault.process import harden

_UNEXPECTED = "An error that nobody expected has ended doorward. What is said above holds no value: please report it."


def main() -> None:
    """Run the command line, in a process whose memory is not dumped: any command may hold a key.

    An error that nobody expected is logged without its message, which may quote what it met, and exits with 1.
    """
    harden()
    logs.configure("console", "error")
    threading.excepthook = _thread_crashed
    sys.unraisablehook = _unraisable
    try:
        app(prog_name="doorward")
    except Exception as error:  # noqa: BLE001  # the last one who can keep its message from the terminal
        logs.crashed(error)
        sys.stderr.write(f"{_UNEXPECTED}\n")
        sys.exit(1)


def _thread_crashed(what: threading.ExceptHookArgs) -> None:
    if what.exc_value is not None and not isinstance(what.exc_value, SystemExit):
        logs.crashed(what.exc_value)


def _unraisable(what: "sys.UnraisableHookArgs") -> None:
    if what.exc_value is not None:
        logs.crashed(what.exc_value)


if __name__ == "__main__":
    main()
