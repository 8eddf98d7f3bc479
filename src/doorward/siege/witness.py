"""The siege's witness: remembers some of the secrets that pass through the visitors' hands, and every error answer.

Thousands of visitors have thousands of secrets; of each kind the first few and a fair sample of the rest are kept. An
error answer must not say any of them, not even to the one who sent it; a visitor's own address in its own form may.
"""

import random
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from doorward.hall.hidden import Hidden
from doorward.siege.canaries import SHORTEST, Canary, Searcher
from doorward.siege.wire import Answer

OF_EACH_KIND: Final = 4
ERROR_BYTES: Final = 8_000_000
_SENT: Final = {"email": "mail address", "password": "password", "code": "mail code"}
_RECEIVED: Final = {"session": "session token", "device": "device token", "key": "API key"}
_SESSION_PREFIX: Final = "dws_"


@dataclass(slots=True)
class Witness:
    """Told of every exchange by the client."""

    rng: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311  # a sample, no secret
    errors: list[tuple[str, bytes, frozenset[bytes]]] = field(default_factory=list)
    pages: list[tuple[str, bytes]] = field(default_factory=list)  # what the target says of itself: path and body
    _kept: dict[str, list[bytes]] = field(default_factory=dict)
    _seen: dict[str, int] = field(default_factory=dict)
    _known: set[tuple[str, bytes]] = field(default_factory=set)
    _error_bytes: int = 0

    def saw(self, who: tuple[str, str], path: str, sent: bytes, answer: Answer) -> None:
        """One exchange: `who` are the visitor's address and user agent, `sent` is the request's body."""
        address, agent = who
        body = answer.body
        if not address.startswith("127.") and not address.endswith((".0", "::")):  # those may name a whole network
            self._note("IP address", address)
            self._note("user agent", agent)
        own = self._note_sent(path, sent)
        if answer.status < 400:
            self._note_received(body)
            for cookie in answer.cookies:
                value = cookie.partition(";")[0].partition("=")[2].strip('"')
                self._note("session token" if value.startswith(_SESSION_PREFIX) else "device token", value)
        elif self._error_bytes < ERROR_BYTES:
            head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items()).encode()
            self.errors.append((f"answer {answer.status} of {path.partition('?')[0]}", head + b"\n\n" + body, own))
            self._error_bytes += len(body)

    def canaries(self) -> list[Canary]:
        """The secrets that were kept."""
        return [Canary(kind, Hidden(value)) for kind, values in self._kept.items() for value in values]

    def search(self, searcher: Searcher) -> None:
        """Look for canaries in the answers that were kept; a visitor's own address is left out of its own errors."""
        for place, data, own in self.errors:
            said = data
            for value in own:
                said = said.replace(value, b"")
            searcher.read(place, said)
        for place, data in self.pages:
            searcher.read(place, data)

    def _note(self, kind: str, text: str) -> None:
        value = text.encode("utf-8", "surrogatepass")
        if len(value) < SHORTEST or (kind, value) in self._known:
            return
        kept, number = self._kept.setdefault(kind, []), self._seen.get(kind, 0) + 1
        self._seen[kind] = number
        if len(kept) < OF_EACH_KIND:
            kept.append(value)
            self._known.add((kind, value))
        elif (place := self.rng.randrange(number)) < OF_EACH_KIND and place >= OF_EACH_KIND // 2:
            self._known.discard((kind, kept[place]))  # the first half stays, the second is a sample
            self._known.add((kind, value))
            kept[place] = value

    def _note_sent(self, path: str, sent: bytes) -> frozenset[bytes]:
        values = _members(sent)
        for name, kind in _SENT.items():
            value = values.get(name)
            if isinstance(value, str):
                self._note(kind, value)
        messages = values.get("messages")
        if path.startswith("/v1/") and isinstance(messages, list):
            for message in messages:
                if isinstance(message, dict) and isinstance(message.get("content"), str):
                    self._note("prompt", message["content"])
        address = values.get("email")
        return frozenset({address.encode()}) if isinstance(address, str) and address else frozenset()

    def _note_received(self, body: bytes) -> None:
        if body[:1] != b"{":
            return
        values = _members(body)
        for name, kind in _RECEIVED.items():
            value = values.get(name)
            if isinstance(value, str):
                self._note(kind, value)


def _members(data: bytes) -> dict[str, Any]:
    """The members of a JSON object or of a form."""
    if data[:1] == b"{":
        try:
            value = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return {}
        return value if isinstance(value, dict) else {}
    try:
        return dict(parse_qsl(data.decode("ascii"), max_num_fields=100))
    except (UnicodeDecodeError, ValueError):
        return {}
