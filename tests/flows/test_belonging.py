"""From a sign-up to a chat, through the whole house."""

import pytest
import requests


def test_a_person_signs_up_and_chats(door):
    person = door.visitor()
    made = person.sign_up()
    assert made["lane"] == "existing"
    key = person.make_key("chat")["key"]
    answer = person.chat(key)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]
    assert answer.headers["x-doorward-lane"] == "existing"


def test_a_stream_arrives_in_frames_and_ends_with_done(door):
    person = door.visitor()
    person.sign_up()
    frames = [line for line in person.chat(person.session, stream=True).iter_lines() if line]
    assert len(frames) > 3
    assert all(frame.startswith(b"data: ") for frame in frames)
    assert frames[-1] == b"data: [DONE]"


def test_authorize_answers_for_a_session_and_a_key(door):
    person = door.visitor()
    made = person.sign_up()
    for credential in (person.session, person.make_key("chat")["key"]):
        answer = person.call("GET", "/authorize", credential=credential)
        assert answer.status_code in {200, 204}
        assert answer.headers["x-doorward-account"] == made["account_id"]
    assert requests.get(door.url + "/authorize", timeout=10).status_code == 401


def test_a_revoked_key_is_dead_at_once(door):
    person = door.visitor()
    person.sign_up()
    key = person.make_key("chat")
    assert person.call("GET", "/authorize", credential=key["key"]).status_code in {200, 204}
    assert person.call("DELETE", f"/api/v1/keys/{key['key_id']}", credential=person.session).status_code == 204
    assert person.call("GET", "/authorize", credential=key["key"]).status_code == 401
    assert person.chat(key["key"]).status_code == 401


def test_a_known_device_logs_in_without_proof_or_code(door):
    person = door.visitor()
    password = "correct horse battery staple 7"
    person.sign_up(password=password)
    form = {"email": person.email, "password": password}
    answer = person.call("POST", "/api/v1/login", json=form, headers={"Doorward-Device": person.device})
    assert answer.status_code == 200, answer.text
    assert answer.json()["session"] != person.session


def test_the_right_password_alone_lets_no_strange_device_in(door):
    person = door.visitor()
    password = "correct horse battery staple 8"
    person.sign_up(password=password)
    thief = door.visitor(person.email)
    unpaid = thief.call("POST", "/api/v1/login", json={"email": person.email, "password": password})
    assert unpaid.status_code == 403
    paid = thief.call(
        "POST", "/api/v1/login", json={"email": person.email, "password": password, **thief.paid("login")}
    )
    assert paid.status_code == 202, paid.text
    assert "session" not in paid.json()


@pytest.mark.parametrize("path", ["/api/v1/signup", "/signup"])
def test_an_unpaid_form_is_turned_away_before_anything_costs(door, path):
    stranger = door.visitor()
    for ticket in ("", "AQAB" + "x" * 60):
        answer = stranger.call("POST", path, data={"ticket": ticket, "email": stranger.email})
        assert answer.status_code == 403
    assert stranger.letters() == []


def test_a_spent_proof_is_refused(door):
    first, second = door.visitor(), door.visitor()
    paid = first.paid()
    assert first.begin(paid).status_code == 202
    again = second.begin(paid)
    assert again.status_code == 403
    assert [reason["code"] for reason in again.json()["reasons"]] == ["proof.spent"]
