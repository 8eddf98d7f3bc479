"""Files, environment and secret files together: who wins, what is refused, and where a secret comes from."""

import os
import stat
import threading
from pathlib import Path

import pytest

from doorward.config import Config, ConfigError, load
from doorward.config.loading import cautions, examine, find_file
from doorward.config.mistakes import Gravity

SECRET = "uQ5mV0w2yTnXc8rKj4hZsD7pLb1GfEa9oIiUqRk6WvM="


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def errors_of(path: Path | None, environment: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environment)
    return [f"{mistake.key}: {mistake.problem}" for mistake in caught.value.mistakes]


class TestPrecedence:
    def test_defaults_alone_are_a_configuration(self, here):
        config = load(None, {})
        assert (config.server.host, config.server.port) == ("127.0.0.1", 8080)
        assert config.public_url == "http://127.0.0.1:8080"

    def test_the_environment_wins_over_the_file(self, here):
        path = write(here / "d.toml", "[server]\nport = 1\nhost = '::1'\n")
        config = load(path, {"DOORWARD_SERVER_PORT": "2"})
        assert config.server.port == 2
        assert config.public_url == "http://[::1]:2"

    def test_a_file_that_a_variable_names_gives_the_value_without_its_last_newline(self, here):
        key = write(here / "key", "sk-1\n")
        config = load(None, {"DOORWARD_UPSTREAM_API_KEY_FILE": str(key)})
        assert config.upstream.api_key == "sk-1"

    def test_a_value_and_its_file_together_are_a_mistake(self, here):
        key = write(here / "key", "sk-1")
        environment = {"DOORWARD_UPSTREAM_API_KEY": "sk-2", "DOORWARD_UPSTREAM_API_KEY_FILE": str(key)}
        assert errors_of(None, environment) == [
            "DOORWARD_UPSTREAM_API_KEY: is set together with DOORWARD_UPSTREAM_API_KEY_FILE: unset one of the two"
        ]

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"k" * 65_537, "is longer than 65536 characters"),
            (b"\xff", "names a file that is not UTF-8"),
            (None, "names a file that cannot be read: No such file or directory"),
        ],
    )
    def test_a_bad_secret_file_is_told(self, here, content, problem):
        if content is not None:
            (here / "key").write_bytes(content)
        found = errors_of(None, {"DOORWARD_UPSTREAM_API_KEY_FILE": "key"})
        assert found == [f"DOORWARD_UPSTREAM_API_KEY_FILE: {problem}"]

    @pytest.mark.parametrize("text", ["10.0.0.0/8, ::1/128", '["10.0.0.0/8", "::1/128"]'])
    def test_lists_come_with_commas_or_as_json(self, here, text):
        assert load(None, {"DOORWARD_SERVER_TRUSTED_PROXIES": text}).server.trusted_proxies == ("10.0.0.0/8", "::1/128")

    def test_the_file_is_found_by_variable_or_by_name(self, here):
        assert find_file({}) is None
        write(here / "doorward.toml", "")
        assert find_file({}) == Path("doorward.toml")
        assert find_file({"DOORWARD_CONFIG": "other.toml"}) == Path("other.toml")


class TestMistakes:
    def test_all_come_at_once_from_both_sources(self, here):
        path = write(here / "d.toml", 'secret = "short"\n[server]\nport = "x"\nhots = 1\n')
        found = errors_of(path, {"DOORWARD_SERVER_ROLE": "boss", "DOORWARD_GATE_NOTHING": "1"})
        assert [line.partition(":")[0] for line in found] == [
            "secret",
            "server.port",
            "server.hots",
            "DOORWARD_GATE_NOTHING",
            "DOORWARD_SERVER_ROLE",
        ]

    def test_a_variable_is_suggested_as_a_variable(self, here):
        (mistake,) = examine(None, {"DOORWARD_SERVER_HOTS": "x"}).errors
        assert mistake.suggestion == "did you mean `DOORWARD_SERVER_HOST`?"

    def test_variables_of_other_programs_are_let_be(self, here):
        environment = {
            "DOORWARD_PORT_8080_TCP_ADDR": "10.0.0.1",
            "DOORWARD_SERVICE_HOST": "10.0.0.1",
            "DOORWARD_SERVER_PORT_8080_TCP": "tcp://10.0.0.1:8080",
            "PATH": "/bin",
        }
        assert examine(None, environment).mistakes == ()

    def test_an_unknown_variable_outside_all_sections_only_warns(self, here):
        (mistake,) = examine(None, {"DOORWARD_SECRT": "x"}).mistakes
        assert (mistake.gravity, mistake.suggestion) == (Gravity.WARNING, "did you mean `secret`?")

    def test_a_refused_value_is_not_reported_a_second_time(self, here):
        path = write(here / "d.toml", '[server]\ntrusted_proxies = 3\n[stores]\ndatabase = 3\ncounters = "what"\n')
        assert [line.partition(":")[0] for line in errors_of(path, {})] == [
            "server.trusted_proxies",
            "stores.database",
            "stores.counters",
        ]

    def test_an_unreadable_file_does_not_make_other_settings_look_missing(self, here):
        path = write(here / "d.toml", "secret = \n")
        found = errors_of(path, {"DOORWARD_STORES_DATABASE": "postgresql://db/doorward"})
        assert found == [": is not valid TOML: Invalid value"]

    @pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: None, lambda path: path.touch(mode=0)])
    def test_a_file_that_cannot_be_read_is_told(self, here, make):
        path = here / "d.toml"
        make(path)
        if path.is_file() and os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
        assert [line[:16] for line in errors_of(path, {})] == [": cannot be read"]

    def test_a_huge_file_is_not_read(self, here):
        path = write(here / "d.toml", "#" * 262_145)
        assert errors_of(path, {}) == [": is larger than 262144 bytes"]

    def test_cautions_of_a_loaded_configuration_are_its_warnings(self, here):
        environment = {"DOORWARD_SERVER_TRUSTED_PROXIES": "0.0.0.0/0"}
        (caution,) = cautions(load(None, environment))
        assert "0.0.0.0/0" in caution.problem


class TestSecret:
    def test_one_is_made_once_and_kept_for_its_owner_only(self, here):
        first, second = load(None, {}), load(None, {})
        kept = here / "doorward-data" / "secret"
        assert first.secret == second.secret == kept.read_text().strip()
        assert len(first.secret) == 64
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert [path.name for path in kept.parent.iterdir()] == ["secret"]

    def test_a_look_makes_nothing(self, here):
        assert examine(None, {}).config.secret == ""
        assert list(here.iterdir()) == []

    def test_mistakes_make_nothing(self, here):
        errors_of(None, {"DOORWARD_SERVER_PORT": "x"})
        assert list(here.iterdir()) == []

    def test_many_who_start_at_once_agree(self, here):
        found: list[str] = []
        barrier = threading.Barrier(8)

        def start() -> None:
            barrier.wait()
            found.append(load(None, {}).secret)

        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert len(set(found)) == 1

    @pytest.mark.parametrize(
        ("content", "mode", "problem"),
        [
            (SECRET, 0o644, "can be read by others"),
            ("short", 0o600, "has 5 characters"),
            ("é" * 40, 0o600, "does not hold a secret"),
            ("", 0o600, "has 0 characters"),
        ],
    )
    def test_a_kept_secret_that_cannot_be_it_refuses_the_start(self, here, content, mode, problem):
        (here / "doorward-data").mkdir()
        kept = write(here / "doorward-data" / "secret", content)
        kept.chmod(mode)
        (found,) = errors_of(None, {})
        assert problem in found

    def test_a_link_in_its_place_is_not_followed(self, here):
        (here / "doorward-data").mkdir()
        write(here / "other", SECRET).chmod(0o600)
        (here / "doorward-data" / "secret").symlink_to(here / "other")
        (found,) = errors_of(None, {})
        assert "cannot be kept" in found

    def test_a_directory_that_cannot_be_made_refuses_the_start(self, here):
        write(here / "doorward-data", "a file")
        (found,) = errors_of(None, {})
        assert "cannot be kept" in found

    def test_a_given_secret_is_used_and_none_is_made(self, here):
        assert load(None, {"DOORWARD_SECRET": SECRET}).secret == SECRET
        assert list(here.iterdir()) == []

    def test_shared_counters_need_a_given_one(self, here):
        (found,) = errors_of(None, {"DOORWARD_STORES_COUNTERS": "valkey://cache"})
        assert found.startswith("DOORWARD_SECRET: is needed with shared stores")

    def test_it_is_not_in_the_printed_form(self):
        assert SECRET not in repr(Config(secret=SECRET))
