"""Rewrites what an upgrade has emptied of plain values: deleted bytes stay in free pages until somebody writes there.

SQLite writes the whole file anew (VACUUM) and empties its log; PostgreSQL writes the tables anew (VACUUM FULL), which
locks each for that time. What the operating system keeps of deleted files, and PostgreSQL in segments of its log that
are still to be reused, is beyond this.
"""

from sqlalchemy import Engine, text

from doorward.stores import scrub_tables


def scrub(engine: Engine) -> list[str]:
    """Rewrite the tables that wait for it; returns their names. Nothing else may hold a lock on them for long."""
    with engine.begin() as connection:
        tables = scrub_tables.waiting(connection)
    if not tables:
        return []
    if engine.dialect.name == "postgresql":
        _rewrite_postgresql(engine, tables)
    else:
        _rewrite_sqlite(engine)
    with engine.begin() as connection:
        scrub_tables.done(connection, tables)
    return tables


def _rewrite_postgresql(engine: Engine, tables: list[str]) -> None:
    quote = engine.dialect.identifier_preparer.quote
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("SET lock_timeout = '60s'"))
        for table in tables:
            connection.execute(text(f"VACUUM FULL {quote(table)}"))


def _rewrite_sqlite(engine: Engine) -> None:
    raw = engine.raw_connection()  # VACUUM works outside of transactions only
    try:
        cursor = raw.cursor()
        cursor.execute("PRAGMA temp_store=FILE")  # the copy may not fit into memory
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.close()
    finally:
        raw.close()
