"""Those who belong notice nothing: not a closed door, not a lost database, not a liar's header."""

import json

import pytest

import servers


def test_the_posture_is_nothing_to_those_who_belong(open_door):
    door = open_door()
    person = door.visitor()
    person.sign_up()
    set_row = json.loads(
        door.command("posture set waitlist --cohort '*' --reason 'drill: all newcomers wait' --minutes 5 --json")
    )
    assert [row["to"] for row in set_row["posture"]] == ["waitlist"]
    newcomer = door.visitor()
    wait_until(lambda: newcomer.begin().json().get("waitlisted") is True)
    name, _, domain = newcomer.email.partition("@")
    first = newcomer.begin().json()
    again = door.visitor(f"{name}+again@{domain}").begin().json()
    assert (again["place"], again["position"]) == (first["place"], first["position"])
    assert person.chat(person.session).status_code == 200
    assert person.call("GET", "/authorize", credential=person.session).status_code in {200, 204}


@pytest.mark.postgresql
def test_a_lost_database_is_nothing_to_those_who_belong(open_door):
    try:
        context = servers.postgresql()
        server_url = context.__enter__()
    except servers.AbsentError as error:
        servers.absent(f"PostgreSQL: {error}")
    stopped = False
    try:
        door = open_door(DOORWARD_STORES_DATABASE=server_url, DOORWARD_STORES_UPGRADES_AT_START="true")
        person = door.visitor()
        person.sign_up()
        paid = door.visitor().paid()
        context.__exit__(None, None, None)
        stopped = True
        assert person.chat(person.session).status_code == 200
        ready = person.call("GET", "/readyz")
        assert (ready.status_code, ready.json()["lanes"]["existing"]) == (200, "ok")
        turned_away = door.visitor().begin(paid)
        assert turned_away.status_code == 503
        assert int(turned_away.headers["Retry-After"]) > 0
    finally:
        if not stopped:
            context.__exit__(None, None, None)


def test_a_spoofed_address_changes_nothing(open_door):
    """Six sign-ups by mail link are allowed per network and hour; a liar's header does not give a seventh."""
    door = open_door(DOORWARD_GATE_MAIL_LINKS_PER_NETWORK_PER_HOUR="1")
    codes = []
    for number in range(8):
        visitor = door.visitor()
        claimed = f"198.51.100.{number}, 203.0.{number}.7"
        unproven = {"ticket": visitor.offer(at=claimed)["ticket"]}
        codes.append(visitor.begin(unproven, at=claimed).status_code)
    assert codes.count(202) < 8
    assert codes[-1] == 428


def test_a_trusted_proxy_is_believed(open_door):
    door = open_door(
        DOORWARD_GATE_MAIL_LINKS_PER_NETWORK_PER_HOUR="1", DOORWARD_SERVER_TRUSTED_PROXIES='["127.0.0.0/8"]'
    )
    for number in range(8):
        visitor, address = door.visitor(), f"203.0.{number}.7"
        unproven = {"ticket": visitor.offer(at=address)["ticket"]}
        assert visitor.begin(unproven, at=address).status_code == 202


def wait_until(condition, tries: int = 100) -> None:
    """Facts travel to a running server within a second or two; each try is a request, so no pause is needed."""
    assert any(condition() for _ in range(tries))
