"""Drafts the next revision from the difference between the history and what the rooms describe.

`python -m doorward.migrations.draft 0002 "Remember the referrer"` writes a file into `versions/`: read it, correct it,
and run `tests/contracts/test_migrations.py`.
"""

import sys

from alembic import command
from sqlalchemy import make_url

from doorward.stores.sqlite import make_engine
from doorward.stores.upgrade import configuration, upgrade_tables


def draft(revision: str, message: str) -> str:
    """Write the draft; returns its path."""
    engine = make_engine(make_url("sqlite://"))
    with engine.begin() as connection:
        upgrade_tables(connection)
        script = command.revision(configuration(connection), message=message, autogenerate=True, rev_id=revision)
    engine.dispose()
    if script is None or isinstance(script, list):
        raise RuntimeError("Alembic wrote no single revision")
    return script.path


if __name__ == "__main__":
    sys.stdout.write(draft(sys.argv[1], sys.argv[2]) + "\n")
