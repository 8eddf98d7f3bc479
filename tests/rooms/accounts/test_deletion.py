"""Deleting an account, through its page, its API and the console."""

import json

import pytest
from sqlalchemy import func, select

from doorward.accounts import credential_tables, tables
from doorward.accounts.deletion import Proof
from doorward.accounts.errors import (
    LastAdminError,
    NotYourAddressError,
    TooManyTriesError,
    WrongCodeError,
    WrongPasswordError,
)
from doorward.accounts.model import Visitor
from doorward.hall.errors import ConflictError, NotFoundError
from doorward.hall.model import Role
from doorward.stores.postbox_tables import letters
from doorward.vault import shred_tables
from doorward.vault.receipts import document_of, public_key_of, verified
from doorward.vault.tables import data_keys
from rows import vault_of

PASSWORD = "violet anchor tuesday marmalade"


async def _count(room, table, **where):
    query = select(func.count()).select_from(table)
    for name, value in where.items():
        query = query.where(table.c[name] == value)
    return await room.database.read(lambda c: c.execute(query).scalar_one())


async def _admin(room, email="root@example.com"):
    link, _ = await room.accounts.welcome.admin_link(email)
    return await room.accounts.welcome.accept(link.rpartition("/")[2], Visitor(), "en")


async def test_everything_about_a_person_goes_at_once(either):
    ada, bob = await either.sign_up("ada@example.com", PASSWORD), await either.sign_up("bob@example.com")
    ada_id = ada.account.account_id
    _, key = await either.accounts.keys.create(ada_id, Role.MEMBER, "laptop", ["*"])
    either.clock.step(1)
    receipt = await either.accounts.deletion.by_person(ada_id, Proof("ADA+x@example.com", PASSWORD))
    for table in (tables.accounts, credential_tables.sessions, credential_tables.api_keys, credential_tables.devices):
        assert await _count(either, table, account_id=ada_id) == 0
    mailbox_subject = either.parts.sealer.subject_of("ada@example.com")
    assert receipt.subjects == (ada_id, mailbox_subject)
    for subject in receipt.subjects:
        assert await _count(either, data_keys, subject=subject) == 0
    assert await _count(either, letters, person=mailbox_subject) == 0
    assert await _count(either, tables.pending, subject=mailbox_subject) == 0
    for credential in (ada.token, key):
        assert either.accounts.standing_of(credential.encode()) is None
        assert await either.accounts.recall(credential.encode()) is None
    # everybody else is as before
    assert either.accounts.standing_of(bob.token.encode()) is not None
    assert (await either.accounts.account(bob.account.account_id)).email == "bob@example.com"
    assert len(await either.letters("bob@example.com")) == 1
    # the receipt says so, and its signature holds
    assert receipt.destroyed["accounts"] == 1
    assert receipt.destroyed["vault_data_keys"] == 2
    assert verified(document_of(receipt), public_key_of(vault_of(either.database).ring)) == receipt


async def test_other_nodes_let_go_too(either):
    other = either.another()
    ada = await either.sign_up("ada@example.com", PASSWORD)
    await other.load()
    assert other.standing_of(ada.token.encode()) is not None
    await other.parts.outbox.mark()
    await either.accounts.deletion.by_person(ada.account.account_id, Proof("ada@example.com", PASSWORD))
    await other.parts.outbox.deliver_each()
    assert other.standing_of(ada.token.encode()) is None


async def test_the_same_person_can_come_back_as_a_new_one(either):
    ada = await either.sign_up("ada@example.com", PASSWORD)
    await either.accounts.deletion.by_person(ada.account.account_id, Proof("ada@example.com", PASSWORD))
    either.clock.step(60)
    again = await either.sign_up("ada@example.com")
    assert again.account.account_id != ada.account.account_id
    assert (await either.accounts.account(again.account.account_id)).email == "ada@example.com"


async def test_a_log_in_that_was_under_way_finds_no_account(room):
    ada = await room.sign_up("ada@example.com", PASSWORD)
    await room.accounts.deletion.by_person(ada.account.account_id, Proof("ada@example.com", PASSWORD))
    with pytest.raises(ConflictError):
        await room.database.write(lambda c: room.accounts.sessions.start(c, ada.account, Visitor(), ""))
    with pytest.raises(NotFoundError):
        await room.accounts.keys.create(ada.account.account_id, Role.MEMBER, "late", ["*"])
    assert await _count(room, data_keys, subject=ada.account.account_id) == 0


async def test_a_session_alone_deletes_nothing(room):
    ada = await room.sign_up("ada@example.com", PASSWORD)
    by_person, account_id = room.accounts.deletion.by_person, ada.account.account_id
    with pytest.raises(NotYourAddressError):
        await by_person(account_id, Proof("bob@example.com", PASSWORD))
    for _ in range(10):
        with pytest.raises(WrongPasswordError):
            await by_person(account_id, Proof("ada@example.com", "something else entirely"))
    with pytest.raises(TooManyTriesError):
        await by_person(account_id, Proof("ada@example.com", PASSWORD))
    assert await _count(room, tables.accounts) == 1


async def test_without_a_password_it_takes_a_fresh_code(room):
    ada, eve = await room.sign_up("ada@example.com"), await room.sign_up("eve@example.com")
    deletion = room.accounts.deletion
    pending = await deletion.ask_code(ada.account.account_id, "en")
    code = await room.code("ada@example.com")
    with pytest.raises(WrongCodeError):
        await deletion.by_person(ada.account.account_id, Proof("ada@example.com", "", pending, "00000000"))
    with pytest.raises(WrongCodeError):  # somebody else's code
        await deletion.by_person(eve.account.account_id, Proof("eve@example.com", "", pending, code))
    login = await room.accounts.login.begin(room.arrival(), "ada@example.com", "", Visitor())
    login_code = await room.code("ada@example.com")
    with pytest.raises(WrongCodeError):  # a code for logging in is none for leaving
        await deletion.by_person(ada.account.account_id, Proof("ada@example.com", "", login.pending_id, login_code))
    await deletion.by_person(ada.account.account_id, Proof("ada@example.com", "", pending, code))
    assert await _count(room, tables.accounts) == 1


async def test_the_last_administrator_stays(room):
    root = await _admin(room)
    with pytest.raises(LastAdminError):
        await room.accounts.deletion.by_operator("root@example.com")
    second = await _admin(room, "second@example.com")
    await room.accounts.deletion.by_admin(second.account.account_id, root.account.account_id)
    with pytest.raises(LastAdminError):
        await room.accounts.deletion.by_admin(second.account.account_id, second.account.account_id)


async def test_an_address_without_an_account_can_be_forgotten_too(room):
    await room.accounts.signup.begin(room.arrival(), "ada@example.com", "")
    receipt = await room.accounts.deletion.by_operator("ada@example.com")
    assert receipt.destroyed["letters"] == receipt.destroyed["pending"] == receipt.destroyed["mail_allowance"] == 1
    assert await room.database.read(shred_tables.count_shreds) == 1


# --- pages ----------------------------------------------------------------------------------------------------


async def _logged_in(browse, entered):
    browser = browse()
    browser.cookies = {"doorward": entered.token, "doorward_device": entered.device}
    return browser


async def test_the_page_deletes_by_password(room, browse):
    browser = await _logged_in(browse, await room.sign_up("ada@example.com", PASSWORD))
    assert 'name="password"' in (await browser.get("/account/delete")).text
    wrong = await browser.form("/account/delete", email="ada@example.com", password="not it, not it, not it")
    assert wrong.status == 400
    assert "This is not the password of your account." in wrong.text
    done = await browser.form("/account/delete", email="ada@example.com", password=PASSWORD)
    assert done.status == 200
    assert "shr_" in done.text
    assert "doorward" not in browser.cookies
    assert "doorward_device" not in browser.cookies
    assert await _count(room, tables.accounts) == 0


async def test_the_page_deletes_by_code(room, browse):
    browser = await _logged_in(browse, await room.sign_up("ada@example.com"))
    assert 'name="email"' not in (await browser.get("/account/delete")).text
    sent = await browser.form("/account/delete/code")
    assert sent.status == 303
    pending = sent.header("location").partition("pending=")[2]
    assert pending in (await browser.get(sent.header("location"))).text
    code = await room.code("ada@example.com")
    done = await browser.form("/account/delete", email="ada@example.com", pending=pending, code=code)
    assert done.status == 200
    assert await _count(room, tables.accounts) == 0


async def test_the_api_deletes_and_answers_with_the_receipt(room, browse):
    browser = await _logged_in(browse, await room.sign_up("ada@example.com", PASSWORD))
    browser.headers["accept"] = "application/json"
    refused = await browser.delete("/api/v1/account", email="ada@example.com", password="no")
    assert (refused.status, refused.json["code"]) == (400, "accounts.password.wrong")
    done = await browser.delete("/api/v1/account", email="ada@example.com", password=PASSWORD)
    assert done.status == 200
    assert verified(json.dumps(done.json), public_key_of(vault_of(room.database).ring)).reason == "person"


async def test_an_administrator_deletes_by_typing_the_id(room, browse):
    root = await _admin(room)
    ada = await room.sign_up("ada@example.com")
    browser, path = await _logged_in(browse, root), f"/console/accounts/{ada.account.account_id}/delete"
    assert path in (await browser.get("/console/accounts")).text
    page = await browser.get(path)
    assert "a…@example.com" in page.text
    assert "ada@example.com" not in page.text
    assert (await browser.form(path, account_id="acc_other")).status == 400
    done = await browser.form(path, account_id=ada.account.account_id)
    assert done.status == 200
    assert f"admin:{root.account.account_id}" in done.text
    assert (await browser.get(path)).status == 404
    ada_again = await room.sign_up("ada@example.com")
    member = await _logged_in(browse, ada_again)
    assert (await member.form(f"/console/accounts/{root.account.account_id}/delete", account_id="x")).status == 403
    assert (await member.delete(f"/api/v1/admin/accounts/{root.account.account_id}")).status == 403
    assert (await browser.delete(f"/api/v1/admin/accounts/{ada_again.account.account_id}")).status == 200
