"""`python -m doorward` and the command `doorward`."""

from doorward.cli import app


def main() -> None:
    """Run the command line."""
    app(prog_name="doorward")


if __name__ == "__main__":
    main()
