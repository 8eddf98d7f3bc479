"""The rows of accounts, on both databases, where the flows above them would not notice a mistake."""

from sqlalchemy import select

from doorward.accounts import tables
from doorward.accounts.model import Account
from doorward.hall.ids import new_id
from doorward.hall.model import Lane, Role
from doorward.stores.outbox_tables import outbox_events


async def test_the_first_account_of_a_mailbox_is_made_and_a_second_is_not(either):
    def work(connection):
        index = either.parts.sealer.index("accounts.mailbox", "ada@example.com")
        return [
            tables.add_account(
                connection, Account(new_id("acc"), "ada@example.com", Lane.EXISTING, Role.MEMBER, 1.0), index
            )
            for _ in range(2)
        ]

    assert await either.database.write(work) == [True, False]


async def test_a_sign_up_is_told_to_the_house_once(either):
    await either.sign_up()
    names = await either.database.read(lambda c: c.execute(select(outbox_events.c.name)).scalars().all())
    assert sorted(names) == ["accounts.account.created", "accounts.session.started"]


async def test_a_changed_hash_is_replaced_and_another_is_not(either):
    entered = await either.sign_up(password="violet anchor tuesday marmalade")  # a test's own
    index = either.parts.sealer.index("accounts.mailbox", "ada@example.com")

    def known(connection):
        return tables.account_of_mailbox(connection, index).password_hash

    account_id, old = entered.account.account_id, await either.database.read(known)
    assert old.startswith("$argon2id$")
    await either.database.write(lambda c: tables.set_password_hash(c, account_id, "$argon2id$new", "$argon2id$other"))
    assert await either.database.read(known) == old
    await either.database.write(lambda c: tables.set_password_hash(c, account_id, "$argon2id$new", old))
    assert await either.database.read(known) == "$argon2id$new"
