"""One linear history of the tables, for SQLite and PostgreSQL alike; `stores.upgrade` runs it.

A new revision: change the rooms' `tables.py`, add a file to `versions/` (`draft.py` drafts it), and let
`tests/contracts/test_migrations.py` compare what it makes with what the rooms describe, on both databases.
"""
