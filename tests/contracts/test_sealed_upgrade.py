"""A database of the first version is sealed where it lies, on both databases, and nothing plain is left behind."""

from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from doorward.accounts import credential_tables
from doorward.accounts import tables as account_tables
from doorward.accounts.model import Purpose
from doorward.gate import tables as gate_tables
from doorward.hall.errors import VaultLockedError
from doorward.hall.model import Attempt
from doorward.stores import postbox_tables
from doorward.stores.sql import Database
from doorward.stores.upgrade import newest_revision, prepare, upgrade
from doorward.vault.service import Vault

ROWS = (
    "INSERT INTO accounts VALUES ('acc_x', 'canary-codes@example.org', 'old-x', 'existing', 'member', '', 'en', '', 1)",
    """INSERT INTO pending VALUES ('pen_1', 'signup', 'old-p', 'canary-new@example.org', '', '$argon2id$canary', 'att_p',
    'en', '', false, true, 'secret', 0, 1.0, 9e9, NULL)""",
    "INSERT INTO sessions VALUES ('ses_1', 'acc_00007', 'digest', 'dwd_1', 'canary fox', 1.0, 2.0, 9e9, NULL)",
    "INSERT INTO devices VALUES ('dwd_1', 'acc_00007', 'canary fox', 1.0, 2.0, NULL)",
    """INSERT INTO api_keys VALUES ('key_1', 'acc_00007', 'digest', 'canary key', 'dw_live_ab', '*', 1.0, NULL, NULL,
    NULL)""",
    """INSERT INTO letters VALUES (7, 'ltr_1', 'canary-to@example.org', 'canary: 確認', 'canary text', '<p>canary', 1.0,
    'sunk', 0, 1.0, '')""",
    "INSERT INTO letters VALUES (9, 'ltr_2', 'not an address canary', '', '', '', 1.0, 'sent', 1, 1.0, '')",
    """INSERT INTO gate_places VALUES (3, 'plc_1', 'Canary-wait@example.org', 'en', 'old-w', :signals, 'waiting', 1.0,
    0.0)""",
    "INSERT INTO gate_places VALUES (4, 'plc_2', '', 'en', 'old-j', :signals, 'joined', 1.0, 2.0)",
    "INSERT INTO mail_allowance VALUES ('old-p', 1.0, 2.0, 3, 1.0, 3)",
    "INSERT INTO mail_allowance VALUES ('old-nobody', 1.0, 2.0, 3, 1.0, 3)",
    "INSERT INTO gate_baselines VALUES ('observed', 'payload of the canary', 1.0)",
    "INSERT INTO gate_attempts VALUES ('att_5', 1.0, :signals, 'paid', 20, 'admit', 'open', 0)",
    "INSERT INTO gate_attempts VALUES ('att_p', 1.0, :signals, 'paid', 20, 'admit', 'open', 0)",
    "INSERT INTO gate_attempts VALUES ('att_lost', 1.0, :signals, 'paid', 20, 'admit', 'open', 0)",
)
PEOPLE = 1_200  # more than the migration takes at once
CANARY = "canary"
SIGNALS = (
    '{{"at":1.0,"attempt":"signup","mail":"{0}.example","network":"203.0.113.0/24","client":"{0}/1/linux",'
    '"language":"en","shape":"a2","form":3,"solver":4,"spent":5,"has_password":true}}'
)


def plain_rows(connection) -> None:
    """What the first version wrote: every personal text holds the canary."""
    for number in range(PEOPLE):
        email = f"Canary{number}+x@example.org"
        connection.execute(
            text("INSERT INTO accounts VALUES (:id, :email, :box, 'existing', 'member', :hash, 'en', :att, 1.5)"),
            {"id": f"acc_{number:05}", "email": email, "box": f"old{number}".encode(), "hash": f"$argon2id${CANARY}",
             "att": f"att_{number}"},
        )  # fmt: skip
    for row in ROWS:
        connection.execute(text(row), {"signals": SIGNALS.format(CANARY)} if ":signals" in row else {})
    if connection.dialect.name == "sqlite":  # a text is no blob there
        for table, column in (("accounts", "mailbox"), ("pending", "mailbox"), ("mail_allowance", "mailbox"),
                              ("gate_places", "email_digest"), ("gate_baselines", "payload")):  # fmt: skip
            connection.execute(text(f"UPDATE {table} SET {column} = CAST({column} AS BLOB)"))


@pytest.fixture
async def old_url(database_url):
    """A database of the first version with rows."""
    upgrade(database_url, "0001")
    database = Database.open(database_url)
    await database.write(plain_rows)
    await database.close()
    return database_url


@pytest.fixture
def vault():
    return Vault.in_memory()


async def test_every_row_reads_back(old_url, vault):
    upgrade(old_url, sealer=lambda: vault)
    database = Database.open(old_url, vault)
    await database.read(lambda connection: _check_accounts(connection, vault))
    await database.read(lambda connection: _check_rest(connection, vault))
    await database.close()


def _check_accounts(connection, vault) -> None:
    for number in (0, 7, 499, 500, 1_199):
        known = account_tables.account_of_mailbox(
            connection, vault.index("accounts.mailbox", f"canary{number}@example.org")
        )
        assert known is not None
        assert (known.account.account_id, known.account.email) == (f"acc_{number:05}", f"Canary{number}+x@example.org")
        assert known.password_hash == "$argon2id$canary"
    coder = account_tables.account_of_id(connection, "acc_x")
    assert coder is not None
    assert coder.email == "canary-codes@example.org"
    assert len(account_tables.list_accounts(connection, "", 5_000)) == PEOPLE + 1
    waiting = account_tables.pending_of_id(connection, "pen_1", 2.0)
    assert waiting is not None
    assert (waiting.purpose, waiting.email, waiting.password_hash) == (
        Purpose.SIGNUP, "canary-new@example.org", "$argon2id$canary"
    )  # fmt: skip
    assert waiting.mailbox == vault.index("accounts.mailbox", "canary-new@example.org")
    assert waiting.subject == vault.subject_of("canary-new@example.org")
    counts = connection.execute(account_tables.mail_allowance.select()).all()
    assert [(row.mailbox, row.sent) for row in counts] == [(waiting.mailbox, 3)]


def _check_rest(connection, vault) -> None:
    assert [one.device for one in credential_tables.live_sessions(connection, "acc_00007", 3.0, 0.0)] == ["canary fox"]
    assert [one.name for one in credential_tables.live_keys(connection, "acc_00007", 3.0)] == ["canary key"]
    (letter,) = postbox_tables.sunk_letters(connection, 0, "canary-to@example.org", 10)
    assert (letter.sequence, letter.subject, letter.text, letter.html) == (
        7, "canary: 確認", "canary text", "<p>canary"
    )  # fmt: skip
    (place,) = gate_tables.next_places(connection, 10)
    assert (place.email, place.signals.mail) == ("Canary-wait@example.org", "canary.example")
    assert gate_tables.read_place(connection, "plc_2") == ("joined", 0)
    for attempt_id in ("att_5", "att_p"):
        found = gate_tables.read_attempt(connection, attempt_id)
        assert found is not None
        assert (found[0].attempt, found[0].client) == (Attempt.SIGNUP, "canary/1/linux")
    assert gate_tables.read_attempt(connection, "att_lost") is None
    assert gate_tables.read_baseline(connection, "observed") == b"payload of the canary"


async def test_the_number_of_a_letter_is_never_used_again(old_url, vault):
    upgrade(old_url, sealer=lambda: vault)
    database = Database.open(old_url, vault)

    def work(connection):
        if not database.is_postgresql:  # there the rows above were numbered by hand, past the sequence
            connection.execute(text("DELETE FROM letters"))
            return connection.execute(text("SELECT seq FROM sqlite_sequence WHERE name = 'letters'")).scalar_one()
        return 9

    assert await database.write(work) == 9
    await database.close()


@pytest.mark.parametrize("way", ["by hand", "at start"])
async def test_no_plain_byte_is_left_in_the_file_or_beside_it(sqlite_url, vault, way):
    upgrade(sqlite_url, "0001")
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    plain = Database.open(sqlite_url)
    await plain.write(plain_rows)
    await plain.close()
    assert _canaries(file) > 0
    if way == "by hand":
        upgrade(sqlite_url, sealer=lambda: vault)
    else:
        database = Database.open(sqlite_url, vault)
        await prepare(database, upgrades_postgresql=False)
        assert _canaries(file) == 0
        await database.close()
    assert _canaries(file) == 0


def _canaries(file: Path) -> int:
    return sum(one.read_bytes().lower().count(b"canary") for one in file.parent.glob(file.name + "*"))


async def test_postgresql_keeps_no_plain_bytes_in_its_tables(postgresql_url, vault):
    upgrade(postgresql_url, "0001")
    database = Database.open(postgresql_url, vault)
    await database.write(plain_rows)
    await prepare(database, upgrades_postgresql=True)

    def dead_rows(connection):
        connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        whole = 0
        for table in inspect(connection).get_table_names():
            file = connection.execute(text("SELECT pg_relation_filepath(:table)"), {"table": table}).scalar_one()
            content = connection.execute(text("SELECT pg_read_binary_file(:file)"), {"file": file}).scalar_one()
            whole += bytes(content).lower().count(b"canary")
        return whole

    assert await database.write(dead_rows) == 0
    await database.close()


async def test_rows_cannot_be_sealed_without_a_vault_and_nothing_changes(old_url):
    with pytest.raises(VaultLockedError):
        upgrade(old_url)
    database = Database.open(old_url)
    emails = await database.read(
        lambda connection: connection.execute(text("SELECT email FROM accounts")).scalars().all()
    )
    assert len([email for email in emails if email.lower().startswith("canary")]) == PEOPLE + 1
    await database.close()


async def test_rows_wait_for_the_last_step(old_url, vault):
    upgrade(old_url, "0004")  # changes the columns; needs no vault
    upgrade(old_url, sealer=lambda: vault)
    database = Database.open(old_url, vault)
    await database.read(lambda connection: _check_accounts(connection, vault))
    await database.close()


async def test_a_sealed_database_upgrades_no_further(old_url, vault):
    assert upgrade(old_url, sealer=lambda: vault).after == newest_revision()
    assert not upgrade(old_url, sealer=lambda: vault).is_change
