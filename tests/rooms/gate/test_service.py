"""The gate as the rest of the house meets it."""

from dataclasses import replace

import pytest

from doorward.gate import Level, Lever
from doorward.gate.errors import NothingToUndoError, PostureChangeError
from doorward.hall.bus import Bus
from doorward.hall.doors import Doorkeeper, WaitList
from doorward.hall.model import Action, Attempt
from doorward.stores.errors import StoreUnavailableError

from .conftest import opened, pay


def test_it_answers_the_house(door):
    keeper: Doorkeeper = door.gate
    line: WaitList = door.gate
    assert keeper is line


async def test_somebody_pays_and_comes_in(door):
    verdict = await door.come()
    assert (verdict.action, verdict.reasons[0].code, verdict.mail_link) == (Action.ADMIT, "proof.paid", False)
    settled = await door.gate.settle(verdict.attempt_id)
    assert (settled.action, settled.attempt_id) == (Action.ADMIT, verdict.attempt_id)


async def test_a_proof_is_good_once(door):
    arrival = door.paid(door.arrival())
    assert (await door.gate.consider(arrival)).action is Action.ADMIT
    again = await door.gate.consider(arrival)
    assert (again.action, again.reasons[0].code, again.attempt_id) == (Action.REFUSE, "proof.spent", "")


async def test_what_was_not_paid_with_ours_is_refused(door):
    paid = door.paid(door.arrival())
    for wrong in (replace(paid, proof="AAAA"), replace(paid, ticket="A" * 60), replace(paid, attempt=Attempt.LOGIN)):
        verdict = await door.gate.consider(wrong)
        assert (verdict.action, verdict.reasons[0].code) == (Action.REFUSE, "proof.forged")
    assert (await door.gate.consider(paid)).action is Action.ADMIT


async def test_an_old_form_and_a_new_connection_are_asked_once_more(door):
    moved = await door.gate.consider(replace(door.paid(door.arrival()), address="203.0.113.9"))
    late = await door.gate.consider(door.paid(door.arrival(), seconds=3_601))
    without = await door.gate.consider(door.arrival())
    codes = [verdict.reasons[0].code for verdict in (moved, late, without)]
    assert codes == ["ticket.moved", "ticket.expired", "ticket.expired"]
    assert all(verdict.action is Action.CHALLENGE for verdict in (moved, late, without))


async def test_the_street_can_tell_our_tickets(door):
    ticket = door.gate.offer(door.arrival()).ticket.encode()
    assert door.gate.is_genuine(ticket)
    assert not door.gate.is_genuine(ticket[:-1] + (b"A" if ticket[-1:] != b"A" else b"B"))
    assert not door.gate.is_genuine(b"")
    door.clock.step(3_601)
    assert not door.gate.is_genuine(ticket)


async def test_without_javascript_a_link_is_mailed_within_a_budget(door):
    verdicts = [
        await door.gate.consider(replace(door.arrival(), ticket=door.gate.offer(door.arrival()).ticket))
        for _ in range(7)
    ]
    assert [verdict.mail_link for verdict in verdicts] == [True] * 6 + [False]
    assert verdicts[-1].reasons[0].code == "mail_link.budget"
    assert verdicts[-1].retry_after_seconds > 0
    elsewhere = door.arrival(address="203.0.113.9")
    other = await door.gate.consider(replace(elsewhere, ticket=door.gate.offer(elsewhere).ticket))
    assert other.mail_link


async def test_a_convicted_cohort_pays_more_and_gets_probation(door):
    arrival = door.paid(door.arrival())
    await door.gate.pull(Lever(Level.PROBATION, "mail=example.org", "test", 600, "acc_1"))
    verdict = await door.gate.consider(arrival)
    assert (verdict.action, verdict.reasons[0].code) == (Action.CHALLENGE, "price.higher")
    offer = door.gate.offer(replace(arrival, proof="", at=door.clock.now()))
    dearer = replace(arrival, ticket=offer.ticket, proof=pay(offer.challenge), at=door.clock.now())
    assert (await door.gate.consider(dearer)).action is Action.PROBATION
    assert (await door.come("joe@elsewhere.example")).action is Action.ADMIT


async def test_the_form_time_is_carried_over_to_the_dearer_ticket(door):
    arrival = door.paid(door.arrival(), seconds=30)
    await door.gate.pull(Lever(Level.CAREFUL, "*", "test", 600, "acc_1"))
    await door.gate.consider(arrival)
    offer = door.gate.offer(replace(arrival, proof="", at=door.clock.now()))
    door.clock.step(1)
    await door.gate.consider(replace(arrival, ticket=offer.ticket, proof=pay(offer.challenge), at=door.clock.now()))
    observed = [signals.form for signals in door.gate.watch.window]
    assert observed == [observed[0]]  # one visitor is one observation
    assert observed[0] > 12


async def test_one_more_payment_is_enough_for_a_cohort_named_by_its_form_time(door):
    await door.gate.pull(Lever(Level.CAREFUL, "mail=example.org&form=0..39", "test", 600, "acc_1"))
    arrival = door.paid(door.arrival(), seconds=30)
    verdict = await door.gate.consider(arrival)
    assert (verdict.action, verdict.reasons[0].code) == (Action.CHALLENGE, "price.higher")
    offer = door.gate.offer(replace(arrival, proof="", at=door.clock.now()))
    door.clock.step(1)
    dearer = replace(arrival, ticket=offer.ticket, proof=pay(offer.challenge), at=door.clock.now())
    assert (await door.gate.consider(dearer)).action is Action.ADMIT


async def test_whoever_confirms_after_the_conviction_is_on_probation(door):
    first = await door.come()
    other = await door.come("joe@elsewhere.example")
    await door.gate.pull(Lever(Level.WAITLIST, "mail=example.org", "test", 600, "acc_1"))
    settled = await door.gate.settle(first.attempt_id)
    assert (settled.action, settled.reasons[0].code) == (Action.PROBATION, "cohort.waitlisted")
    assert (await door.gate.settle(other.attempt_id)).action is Action.ADMIT


async def test_waiting_for_the_reopening_does_not_help(door):
    await door.gate.pull(Lever(Level.PROBATION, "mail=example.org", "test", 60, "acc_1"))
    verdict = await door.come()
    door.clock.step(61)
    assert (await door.gate.settle(verdict.attempt_id)).action is Action.PROBATION


async def test_an_attempt_that_nobody_knows_is_on_probation(door):
    assert (await door.gate.settle("att_nobody")).action is Action.PROBATION


async def test_attempts_and_posture_outlive_the_process(door, rows, settings, clock):
    verdict = await door.come()
    await door.gate.pull(Lever(Level.PROBATION, "mail=example.org", "test", 600, "acc_1"))
    again = await opened(settings, clock, rows, Bus(), "two")
    assert again.gate.posture().level("mail=example.org", clock.now()) is Level.PROBATION
    assert (await again.gate.settle(verdict.attempt_id)).action is Action.PROBATION


async def test_other_nodes_hear_of_a_change(door, rows, settings, clock):
    other = await opened(settings, clock, rows, Bus(), "two")
    await door.gate.pull(Lever(Level.CAREFUL, "*", "test", 600, "acc_1"))
    assert other.gate.posture().version == 0
    await other.parts.outbox.deliver_each()
    assert other.gate.posture() == door.gate.posture()


async def test_the_lever_needs_a_reason_and_an_end(door):
    for reason, seconds in (("", 60), ("test", 0), ("test", -1), ("test", 1e9)):
        with pytest.raises(PostureChangeError):
            await door.gate.pull(Lever(Level.CAREFUL, "*", reason, seconds, "acc_1"))
    assert door.gate.posture().version == 0


async def test_a_change_ends_by_itself_and_can_be_undone(door):
    row = await door.gate.pull(Lever(Level.WAITLIST, "*", "test", 600, "acc_1"))
    await door.gate.undo(row.version, "acc_2")
    assert door.gate.posture().level("*", door.clock.now()) is Level.OPEN
    with pytest.raises(NothingToUndoError):
        await door.gate.undo(row.version, "acc_2")
    await door.gate.pull(Lever(Level.WAITLIST, "*", "test", 60, "acc_1"))
    door.clock.step(61)
    assert (await door.come()).action is Action.ADMIT
    await door.job("gate.posture.expire")
    newest = (await door.gate.book.history(1))[0]
    assert (newest.from_level, newest.change.level) == (Level.WAITLIST, Level.OPEN)


async def test_the_database_is_away(door, rows):
    paid, offered = door.paid(door.arrival()), door.arrival("joe@example.org")
    await door.gate.pull(Lever(Level.CAREFUL, "mail=elsewhere.example", "test", 600, "acc_1"))
    await rows.close()
    verdict = await door.gate.consider(paid)
    assert (verdict.action, verdict.reasons[0].code, verdict.retry_after_seconds) == (Action.WAITLIST, "store.away", 30)
    assert door.gate.is_genuine(door.gate.offer(offered).ticket.encode())
    assert door.gate.posture().level("mail=elsewhere.example", door.clock.now()) is Level.CAREFUL
    with pytest.raises(StoreUnavailableError):
        await door.gate.take_place(offered)
    await door.gate.load()


async def test_what_happened_is_counted_and_told_once_a_second(door, rows):
    await door.come()
    await door.gate.consider(door.arrival())
    counts = {key: n for second in door.gate.live()["seconds"] for key, n in second["counts"].items()}
    assert counts == {"signup/admit/proof.paid": 1, "signup/challenge/ticket.expired": 1}
    heard = []
    from doorward.hall.events import ArrivalsSummarised

    async def hear(event):
        heard.append(event.counts)

    door.parts.bus.on_each_node(ArrivalsSummarised, hear)
    await door.job("gate.summarise")
    door.clock.step(1)
    await door.job("gate.summarise")
    await door.job("gate.summarise")
    await door.parts.outbox.deliver_each()
    assert heard == [counts]
    assert door.gate.figures()["gate_verdicts_total:signup/admit/proof.paid"] == 1


async def test_what_is_kept_for_a_time_is_deleted_after_it(door):
    verdict = await door.come()
    place = await door.gate.take_place(door.arrival("joe@example.org"))
    door.clock.step(8 * 86_400)
    await door.job("gate.sweep")
    assert await door.gate.line.place(place.token) == ("waiting", 1)
    other = await opened(door.parts.settings, door.clock, door.parts.database, Bus(), "two")
    assert (await other.gate.settle(verdict.attempt_id)).reasons[0].code == "attempt.unknown"
