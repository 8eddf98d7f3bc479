"""`python -m doorward` and the command `doorward`."""

from doorward.cli import app
from doorward.vault.process import harden


def main() -> None:
    """Run the command line, in a process whose memory is not dumped: any command may hold a key."""
    harden()
    app(prog_name="doorward")


if __name__ == "__main__":
    main()
