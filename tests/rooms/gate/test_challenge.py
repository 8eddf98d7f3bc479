"""Tickets and proofs: ours pass, everything else is refused without a store."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.gate.challenge import PROOF_LIMIT, TICKET_LENGTH, TicketDesk
from doorward.hall.model import Attempt
from doorward.hall.secrets import Secrets

from .conftest import KEYS, pay

NOW = 1_800_000_000.0
DESK = TicketDesk(KEYS, 3_600, 100)


@given(attempt=st.sampled_from(Attempt), price=st.integers(1, 4_000), form=st.integers(-1, 39), at=st.floats(1e9, 4e9))
def test_a_ticket_says_what_it_was_minted_with(attempt, price, form, at):
    text = DESK.mint(attempt, at, price, "198.51.100.0/24", form)
    ticket = DESK.read(text)
    assert len(text) == TICKET_LENGTH
    assert ticket is not None
    assert (ticket.attempt, ticket.price, ticket.carried_form) == (attempt, price, form)
    assert abs(ticket.issued_at - at) < 0.002
    assert ticket.network_digest == DESK.network_digest("198.51.100.0/24") != DESK.network_digest("198.51.101.0/24")
    assert DESK.read(text.encode()) == ticket


@given(place=st.integers(0, TICKET_LENGTH - 1), letter=st.sampled_from("ABCDwxyz0189-_"))
def test_a_ticket_that_was_changed_anywhere_is_not_ours(place, letter):
    text = DESK.mint(Attempt.SIGNUP, NOW, 200, "198.51.100.0/24")
    changed = text[:place] + letter + text[place + 1 :]
    assert changed == text or DESK.read(changed) is None


@given(st.one_of(st.text(max_size=80), st.binary(max_size=80)))
def test_anything_else_is_not_a_ticket(text):
    assert DESK.read(text) is None


def test_the_ticket_of_another_house_is_not_ours():
    other = TicketDesk(Secrets("another secret of another house, as long"), 3_600, 100)
    assert DESK.read(other.mint(Attempt.SIGNUP, NOW, 200, "n")) is None


def test_a_ticket_ends():
    ticket = DESK.read(DESK.mint(Attempt.SIGNUP, NOW, 200, "n"))
    assert ticket is not None
    assert DESK.is_current(ticket, NOW + 3_600)
    assert not DESK.is_current(ticket, NOW + 3_601)
    assert not DESK.is_current(ticket, NOW - 60)


def _offer(price=30):
    text = DESK.mint(Attempt.SIGNUP, NOW, price, "n")
    return DESK.read(text), DESK.challenge(text, price)


def test_a_solved_challenge_pays_for_its_ticket_only():
    ticket, challenge = _offer()
    proof = pay(challenge, milliseconds=12.5)
    work = DESK.verify(proof, ticket)
    assert work is not None
    assert work.milliseconds == 12.5
    assert 1 <= work.counter <= 30
    assert DESK.verify(proof, _offer()[0]) is None


def _changed(proof, change):
    payload = json.loads(base64.b64decode(proof))
    change(payload)
    return base64.b64encode(json.dumps(payload).encode()).decode()


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p["challenge"]["parameters"].update(cost=1),
        lambda p: p["challenge"]["parameters"].update(keyPrefix="00"),
        lambda p: p["challenge"].update(signature="00" * 32),
        lambda p: p["challenge"].pop("signature"),
        lambda p: p["challenge"]["parameters"].pop("keySignature"),
        lambda p: p["solution"].update(derivedKey="00" * 32),
        lambda p: p["solution"].update(derivedKey=7),
        lambda p: p.pop("solution"),
    ],
)
def test_a_changed_proof_pays_for_nothing(change):
    ticket, challenge = _offer()
    assert DESK.verify(_changed(pay(challenge), change), ticket) is None


@pytest.mark.parametrize("stated", [None, "soon", -1, 1e300, True])
def test_what_a_solver_states_about_itself_is_only_a_hint(stated):
    ticket, challenge = _offer()
    proof = _changed(pay(challenge), lambda p: p["solution"].update(time=stated, counter=10**9))
    work = DESK.verify(proof, ticket)
    assert work is not None
    assert work.milliseconds in (0.0, 1.0)
    assert work.counter == 0


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200).map(lambda b: base64.b64encode(b).decode())))
def test_anything_else_is_not_a_proof(text):
    assert DESK.verify(text, _offer()[0]) is None


def test_a_proof_has_a_limit():
    assert DESK.verify("A" * (PROOF_LIMIT + 4), _offer()[0]) is None


@pytest.mark.parametrize(
    "values", ["[]", "7", "null", '{"challenge":[],"solution":{}}', '{"challenge":{"parameters":7}}', "[" * 500]
)
def test_other_json_is_not_a_proof(values):
    assert DESK.verify(base64.b64encode(values.encode()).decode(), _offer()[0]) is None
