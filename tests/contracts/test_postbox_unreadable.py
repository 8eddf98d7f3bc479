"""Letters that cannot be read or carried are given up, and keep no other from leaving."""

from sqlalchemy import delete, select, update

from doorward.hall.ids import new_id
from doorward.hall.model import Letter
from doorward.stores.postbox_tables import NewLetter, add_letter, letters
from doorward.stores.sealed import Envelope
from doorward.vault.tables import data_keys
from rows import vault_of

from .test_postbox import Mailbox, box, mail_server, post, states


async def test_a_row_that_no_mail_can_carry_is_given_up_and_holds_nobody_up(database, clock):
    mailbox = Mailbox()
    async with mail_server(mailbox) as port:
        postbox = box(database, clock, port)
        bad = NewLetter(new_id("ltr", clock.now()), Letter("ada@[", "s", "t"), "mbx_1", clock.now())
        await database.write(lambda connection: add_letter(connection, bad, "waiting"))
        await post(postbox, database, "good")
        assert await postbox.deliver() == 1
    assert mailbox.subjects() == ["good"]
    assert (await states(database))[bad.letter_id][0] == "failed"


async def test_a_letter_whose_person_is_gone_or_whose_row_was_changed_holds_nobody_up(database, clock):
    def harm(connection) -> None:
        connection.execute(delete(data_keys).where(data_keys.c.subject == "mbx_gone"))
        row = connection.execute(select(letters).where(letters.c.letter_id == changed)).one()
        flipped = Envelope(row.text[:-1] + bytes([row.text[-1] ^ 1]))
        connection.execute(update(letters).where(letters.c.letter_id == changed).values(text=flipped))

    mailbox = Mailbox()
    async with mail_server(mailbox) as port:
        postbox = box(database, clock, port)
        gone, changed, _ = [
            await database.write(
                lambda c, who=who: postbox.enqueue(c, Letter("ada@example.org", who, "t"), f"mbx_{who}")
            )
            for who in ("gone", "changed", "good")
        ]
        await database.write(harm)
        vault_of(database).data_keys.forget()
        assert await postbox.deliver() == 1
    assert mailbox.subjects() == ["good"]
    found = await states(database)
    assert [found[letter_id][0] for letter_id in (gone, changed)] == ["failed", "failed"]
