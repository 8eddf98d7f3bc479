"""The readers of the real series: on the series themselves where they are, and on small files made here."""

from ipaddress import ip_address
from pathlib import Path
from random import Random

import pytest

from doorward.siege import data_files
from doorward.siege.crowd import Crowd, real_margins
from doorward.siege.scenario import load_scenario

SHARED = Path(__file__).parents[4] / "shared" / "data"
FILES = (data_files.MASTODON, data_files.TWEETS, data_files.HONEYPOT, data_files.IPSUM, data_files.WEB_CLIENTS)


@pytest.fixture
def shared() -> Path:
    """The folder of the real series."""
    for name in FILES:
        if not (SHARED / name).is_file():
            pytest.skip(f"{name} is not in {SHARED}")
    return SHARED


def test_the_published_figures_are_those_of_the_series(shared):
    """What the scenario files say without the data is what the data say."""
    attack, calm = load_scenario("deepseek-2025-01"), load_scenario("calm-surge")
    hours = data_files.surge_shape(shared)
    two_hours = [(hours[n] + hours[n + 1]) / 2 for n in range(0, len(hours), 2)]
    assert two_hours == pytest.approx(attack.people.surge_shape, abs=0.02)
    assert attack.botnet is not None
    pacing = [min(3.0, value) for value in data_files.attack_pacing(shared)]
    assert pacing == pytest.approx(attack.botnet.pacing, abs=0.02)
    spike = [min(3.0, value) for value in calm.people.surge_shape]
    assert data_files.spike_shape(shared) == pytest.approx(spike, abs=0.02)


def test_crowds_of_the_real_series(shared):
    scenario = load_scenario("deepseek-2025-01")
    margins = real_margins(scenario, shared)
    assert len(set(margins.bot_addresses)) == 10_000
    assert len(margins.people_addresses) > 1_000
    assert all(ip_address(address).is_global for address in margins.people_addresses + margins.bot_addresses)
    agents = " ".join(client.text for client in margins.clients).lower()
    assert "chrome" in agents
    assert "googlebot" not in agents
    person = Crowd(scenario, margins, Random(1), Random(1)).person()
    assert person.actor.address in margins.people_addresses


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(data_files.DataFileError, match=r"web-clients\.log"):
        real_margins(load_scenario("calm-surge"), tmp_path)


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return folder


def test_a_file_of_another_kind_is_named_with_what_it_lacks(tmp_path):
    with pytest.raises(data_files.DataFileError, match=r"hourly\.csv: lacks the column usercount"):
        data_files.surge_shape(put(tmp_path, data_files.MASTODON, "timestamp,other\n1,2\n"))
    with pytest.raises(data_files.DataFileError, match="holds nothing"):
        data_files.surge_shape(put(tmp_path, data_files.MASTODON, "timestamp,usercount\n1,2\n"))
    with pytest.raises(data_files.DataFileError, match="no sessions"):
        data_files.attack_pacing(put(tmp_path, data_files.HONEYPOT, "unix_seconds,source_ip\n"))
    with pytest.raises(data_files.DataFileError, match="combined log format"):
        data_files.web_clients(put(tmp_path, data_files.WEB_CLIENTS, "nonsense\n" * 5))


def test_small_files_are_read_right(tmp_path):
    start = 1_667_620_800
    rows = "".join(f"{start + 3600 * n},{100 + n * n}\n" for n in range(-1, 48))
    shape = data_files.surge_shape(put(tmp_path, data_files.MASTODON, f"timestamp,usercount\n{rows}"))
    assert len(shape) == 48
    assert min(shape) >= 0
    put(
        tmp_path, data_files.HONEYPOT, "unix_seconds,source_ip\n600,10.0.0.1\n601,8.8.8.8\n602,8.8.8.8\n12600,1.1.1.1\n"
    )
    put(tmp_path, data_files.IPSUM, "# a comment\n9.9.9.9\t7\nnot an address\t3\n")
    assert data_files.attacker_addresses(tmp_path, 10) == ["8.8.8.8", "1.1.1.1", "9.9.9.9"]
    assert data_files.attacker_addresses(tmp_path, 2) == ["8.8.8.8", "1.1.1.1"]
    assert data_files.attack_pacing(tmp_path)[0] == 3.0
    log = '8.8.4.4 - - [17/May/2015:10:05:03 +0000] "GET /\\"x HTTP/1.1" 200 9 "-" "Mozilla/5.0 (X11) {}"\n'
    put(
        tmp_path,
        data_files.WEB_CLIENTS,
        log.format("Chrome/1") + log.format("Googlebot/2").replace("8.8.4.4", "8.8.4.5"),
    )
    assert data_files.web_clients(tmp_path) == (["8.8.4.4"], {"Mozilla/5.0 (X11) Chrome/1": 1})
