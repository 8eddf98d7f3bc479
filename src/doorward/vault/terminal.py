"""Asks whoever sits at the terminal for a secret, without showing it; asks nobody where there is no terminal."""

import getpass
import sys


def is_there() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_secret(question: str) -> str:
    """The answer, or nothing where nobody can be asked or nobody answers."""
    if not is_there():
        return ""
    try:
        return getpass.getpass(question, stream=sys.stderr)
    except (EOFError, KeyboardInterrupt):
        return ""
