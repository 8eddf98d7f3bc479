"""What a person can set, see or type is documented, and the documentation cannot be wrong about names."""

import ast
import importlib.util
import re
from types import ModuleType

import msgspec
import pytest

from doorward.config.settings import Config


@pytest.fixture(scope="module")
def reference(root) -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", root / "docs" / "reference" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["settings.md", "events.md", "errors.md", "commands.md"])
def test_the_reference_is_what_the_code_says(root, reference, name):
    committed = (root / "docs" / "reference" / name).read_text()
    assert committed == reference.PAGES[name](), "run `make docs` and commit what it changes"


def test_every_page_of_the_reference_is_checked(root, reference):
    assert {path.name for path in (root / "docs" / "reference").glob("*.md")} - {"README.md", "reasons.md"} == set(
        reference.PAGES
    )


def _settings():
    for section in msgspec.inspect.type_info(Config).fields:
        if isinstance(section.type, msgspec.inspect.StructType):
            for field in section.type.fields:
                yield f"{section.name}.{field.name}", field
        else:
            yield section.name, section


def test_every_setting_is_described_limited_and_has_a_default():
    found = []
    for name, field in _settings():
        kind = field.type
        about = kind.extra_json_schema or {} if isinstance(kind, msgspec.inspect.Metadata) else {}
        if len(about.get("description", "")) < 10:
            found.append(f"{name}: no description")
        inner = kind.type if isinstance(kind, msgspec.inspect.Metadata) else kind
        if isinstance(inner, msgspec.inspect.StrType) and inner.max_length is None and inner.pattern is None:
            found.append(f"{name}: text without a limit")
        if isinstance(inner, msgspec.inspect.IntType | msgspec.inspect.FloatType) and None in (
            inner.ge if inner.gt is None else inner.gt,
            inner.le if inner.lt is None else inner.lt,
        ):
            found.append(f"{name}: number without limits")
        if field.required:
            found.append(f"{name}: no default")
    assert found == []


UNITLESS = re.compile(r"(timeout|lifetime|interval|delay|duration|period|expiry|window|ttl|dwell)$")


def test_settings_say_their_units():
    assert [name for name, _ in _settings() if UNITLESS.search(name)] == []


def test_events_are_named_room_subject_past_tense():
    from doorward.hall.events import EVENT_TYPES

    assert EVENT_TYPES
    assert [name for name in EVENT_TYPES if not re.fullmatch(r"[a-z]+\.[a-z_]+\.[a-z_]+(ed|en|ent|un|ut)", name)] == []


def test_errors_say_what_to_do(reference):
    reference.import_everything()
    kinds = reference.kinds()
    assert kinds
    for code, kind in kinds.items():
        assert re.fullmatch(r"[a-z]+(\.[a-z_]+)+", code), kind
        assert 400 <= kind.status <= 599, kind
        assert len(kind.advice) > 10, kind
        assert kind.__doc__, kind


def test_every_reason_is_explained(root, package):
    """The codes stand as literals where verdicts are made: in the gate and where accounts turn somebody away."""
    page = (root / "docs" / "reference" / "reasons.md").read_text()
    explained = set(re.findall(r"^\| `([a-z_.]+)` \|", page, re.MULTILINE))
    places = {"gate/decide.py", "gate/service.py", "accounts/signup.py"}
    literals = {
        node.value
        for source in package
        if source.place in places
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    made = {
        text
        for text in literals
        if re.fullmatch(r"[a-z_]+\.[a-z_]+", text) and not text.startswith(("doorward.", "gate."))
    }
    assert made == explained


def test_every_command_has_an_example_and_a_json_twin(reference):
    found = []
    commands = dict(reference.commands())
    assert len(commands) >= 10
    for path, command in commands.items():
        if f"Example: {path}" not in f"{command.help} {command.epilog}":
            found.append(f"{path}: no example in its help")
        if not any("--json" in parameter.opts for parameter in command.params):
            found.append(f"{path}: no --json")
        found += [
            f"{path} {parameter.name}: no help"
            for parameter in command.params
            if not getattr(parameter, "help", None) and parameter.param_type_name == "option"
        ]
    assert found == []


LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def test_links_between_pages_lead_somewhere(root):
    pages = [*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "requirements").glob("*.md")]
    links = [(page, target) for page in pages for target in LINK.findall(page.read_text())]
    assert [
        f"{page.relative_to(root)} -> {target}"
        for page, target in links
        if not target.startswith(("https://", "http://", "mailto:")) and not (page.parent / target).exists()
    ] == []


def test_every_page_is_linked(root):
    """A page that nothing links to is not found by anybody."""
    pages = [*root.glob("*.md"), *(root / "docs").rglob("*.md")]
    linked = {
        (page.parent / target).resolve()
        for page in pages
        for target in LINK.findall(page.read_text())
        if "://" not in target
    }
    apart = {root / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md")}
    assert [str(page.relative_to(root)) for page in pages if page not in linked | apart] == []
