"""What a browser without JavaScript sees in a page: its forms, their fields, and the challenge that waits there."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import msgspec


@dataclass(slots=True)
class Form:
    """A form: where it goes, what it would send, and the `data-*` attributes of it and of what is in it."""

    action: str = ""
    method: str = "get"
    fields: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)

    def filled(self, **values: str) -> dict[str, str]:
        """The fields in the order of the page, with `values` filled in; those the page lacks come last."""
        return self.fields | values

    def challenge(self) -> dict[str, Any]:
        """The challenge in `data-challenge`; empty where there is none that can be read."""
        try:
            value = msgspec.json.decode(self.data.get("challenge", "").encode())
        except msgspec.DecodeError:
            return {}
        return value if isinstance(value, dict) else {}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self._current: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._current = Form(values.get("action", ""), values.get("method", "get").lower())
            self.forms.append(self._current)
        if self._current is None:
            return
        self._current.data.update({name[5:]: value for name, value in values.items() if name.startswith("data-")})
        if tag in {"input", "button", "textarea", "select"} and values.get("name"):
            self._take_field(self._current, tag, values)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._current = None

    @staticmethod
    def _take_field(form: Form, tag: str, values: dict[str, str]) -> None:
        kind = values.get("type", "text" if tag == "input" else "").lower()
        if kind in {"checkbox", "radio"} and "checked" not in values:
            return
        if tag == "button" and form.fields.get(values["name"]):
            return  # only the first button of a name is pressed
        form.fields[values["name"]] = values.get("value", "")


def read_forms(page: bytes) -> list[Form]:
    """The forms of an HTML page in UTF-8, in their order; broken markup yields what could be read."""
    reader = _Reader()
    reader.feed(page.decode("utf-8", "replace"))
    reader.close()
    return reader.forms


def form_with(page: bytes, name: str) -> Form | None:
    """The first form that has a field called `name`; None if the page has none."""
    return next((form for form in read_forms(page) if name in form.fields), None)
