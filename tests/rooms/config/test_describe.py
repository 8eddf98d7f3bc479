"""What the configuration says about itself: schema, explanations, and values without secrets."""

import tomllib
from pathlib import Path

import jsonschema_rs
import msgspec
import pytest

from doorward.config import Config, explain, schema, show
from doorward.config.fields import catalogue, sections
from doorward.config.loading import examine
from doorward.hall.errors import NotFoundError

ROOT = Path(__file__).parents[3]
CORPUS = ROOT / "tests" / "config_corpus"


def test_every_setting_has_a_description_and_a_default():
    assert [field.dotted for field in catalogue().values() if not field.description.endswith((".", "."))] == []
    assert Config() == msgspec.convert({}, Config)


def test_every_default_fits_its_own_setting():
    for field in catalogue().values():
        assert msgspec.convert(msgspec.to_builtins(field.default), field.type) == field.default


def test_no_two_settings_share_a_variable():
    variables = [field.variable for field in catalogue().values()]
    both = set(variables) & {f"{variable}_FILE" for variable in variables}
    assert len(set(variables)) == len(variables)
    assert both == set()


@pytest.mark.parametrize("name", ["server.port", "DOORWARD_SERVER_PORT", "DOORWARD_SERVER_PORT_FILE"])
def test_one_setting_is_explained_by_any_of_its_names(name):
    (explanation,) = explain(name)
    assert explanation.takes == "whole number from 0 to 65535"
    assert (explanation.name, explanation.default) == ("server.port", 8080)


def test_a_section_is_explained_as_a_whole():
    assert {explanation.name.partition(".")[0] for explanation in explain("[mail]")} == {"mail"}


def test_an_unknown_name_is_told_with_a_suggestion():
    with pytest.raises(NotFoundError, match=r"did you mean `server\.port`"):
        explain("server.prt")


def test_secrets_and_passwords_in_addresses_are_hidden():
    config = examine(
        None,
        {
            "DOORWARD_SECRET": "uQ5mV0w2yTnXc8rKj4hZsD7pLb1GfEa9oIiUqRk6WvM=",
            "DOORWARD_STORES_DATABASE": "postgresql://doorward:wo@rd:pass@db:5432/doorward",
            "DOORWARD_STORES_COUNTERS": "valkey://:wordpass@cache",
            "DOORWARD_MAIL_SMTP_URL": "smtps://mailer:wordpass@mail.example.com",
            "DOORWARD_UPSTREAM_API_KEY": "sk-internal",
        },
    ).config
    shown = show(config)
    assert shown["secret"] == shown["upstream"]["api_key"] == "(hidden)"
    assert shown["stores"]["database"] == "postgresql://doorward:(hidden)@db:5432/doorward"
    assert shown["stores"]["counters"] == "valkey://:(hidden)@cache"
    assert shown["mail"]["smtp_url"] == "smtps://mailer:(hidden)@mail.example.com"


def test_what_is_shown_without_secrets_can_be_read_back():
    values = show(Config())
    assert msgspec.convert(values, Config) == Config()


class TestSchema:
    validator = jsonschema_rs.validator_for(schema())

    @pytest.mark.parametrize("path", sorted(CORPUS.glob("good/*.toml")), ids=lambda path: path.stem)
    def test_it_accepts_good_files(self, path):
        assert self.validator.is_valid(tomllib.loads(path.read_text()))

    @pytest.mark.parametrize("name", ["misspelt", "choices-and-ranges", "wrong-kinds"])
    def test_it_refuses_what_does_not_fit(self, name):
        text = (CORPUS / "bad" / f"{name}.toml").read_text().replace("1e400", "1e9").replace("1979-05-27", "1")
        assert not self.validator.is_valid(tomllib.loads(text))


class TestExample:
    """doorward.example.toml: loads as it is, and each commented line is a setting with its default."""

    text = (ROOT / "doorward.example.toml").read_text(encoding="utf-8")

    def test_it_loads_without_a_word(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert examine(ROOT / "doorward.example.toml", {}).mistakes == ()

    def test_its_lines_are_settings_and_show_their_defaults(self):
        wrong, section = [], ""
        for line in self.text.splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            is_setting = line.startswith("# ") and " = " in line and line[2:].split(" = ")[0].isidentifier()
            if not is_setting:
                continue
            ((key, value),) = tomllib.loads(line[2:]).items()
            field = catalogue()[(section, key) if section else (key,)]
            if value != msgspec.to_builtins(field.default) and "(default: " not in line and key != "secret":
                wrong.append(line)
        assert wrong == []
        assert set(sections()) == {
            "server",
            "stores",
            "mail",
            "gate",
            "accounts",
            "upstream",
            "vault",
            "backup",
            "tls",
            "acme",
        }

    def test_its_secret_is_refused(self, tmp_path):
        path = tmp_path / "d.toml"
        path.write_text(self.text.replace("# secret =", "secret ="))
        (mistake,) = examine(path, {}).errors
        assert mistake.problem == "is a placeholder from a manual, which everybody knows"
