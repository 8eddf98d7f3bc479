"""The first look at the door: a form without a genuine ticket is turned away here, before anything is built for it.

Only a first look. The ticket is searched for as bytes, not parsed; whatever passes is read properly and judged by the
gate. What is refused here would be refused there too, for the price of one keyed hash and one write.
"""

import re
from collections.abc import Callable
from typing import Final

from doorward.edge.street_answers import Answer, page, problem
from doorward.edge.street_parts import StreetParts
from doorward.edge.wire import Head

_TICKET: Final = re.compile(rb'(?:[&\n]ticket=|"ticket"[ \t\r\n]{0,8}:[ \t\r\n]{0,8}")([A-Za-z0-9._~=-]{1,160})')
_IN_JSON: Final = b'"ticket":"'
_LONGEST_TICKET: Final = 160
_DEVICE_COOKIE: Final = re.compile(rb'(?:\A|; ?)(?:__Host-)?doorward_device="?([!-:<-~]{1,256}?)"?(?:;|\Z)')
_BUSY_SECONDS: Final = 5


class FirstLook:
    """Tells which requests need a ticket, and answers those that have none."""

    def __init__(self, parts: StreetParts) -> None:
        self.is_genuine = parts.doorkeeper.is_genuine
        self._is_device = parts.is_device
        self._paths = parts.gate_paths
        self._device_paths = parts.device_paths
        self._problems = {
            code: problem(403, code, parts.public_url) for code in ("gate.ticket.missing", "gate.ticket.forged")
        }
        self._problems["service.busy"] = problem(503, "service.busy", parts.public_url, _BUSY_SECONDS)
        self._pages = {
            (code, form): page(found.status, code, form, _BUSY_SECONDS if found.status == 503 else None)
            for code, found in self._problems.items()
            for form in ("/signup", "/login")
        }

    def concerns(self, head: Head) -> bool:
        """Whether this request needs a ticket, or a device that is known."""
        if head.method != b"POST" or head.path not in self._paths:
            return False
        return head.path not in self._device_paths or not self._shows_device(head)

    def _shows_device(self, head: Head) -> bool:
        token = head.value(b"\r\ndoorward-device:")
        if token is None:
            cookie = head.value(b"\r\ncookie:")
            match = _DEVICE_COOKIE.search(cookie) if cookie else None
            token = match.group(1) if match else b""
        return bool(token and self._is_device(token))

    def ticket_in(self, data: bytes, start: int) -> bytes:
        """The ticket in a form or JSON object that begins after the line end at `start`; empty if there is none."""
        at = data.find(_IN_JSON, start)  # as every JSON writer puts it; found as bytes in a third of the time
        if at >= 0:
            at += len(_IN_JSON)
            end = data.find(b'"', at, at + _LONGEST_TICKET + 1)
            if end >= 0:
                return data[at:end]
        match = _TICKET.search(data, start)
        return match.group(1) if match is not None else b""

    def refusal(self, head: Head, body: bytes) -> Answer | None:
        """Why this request is turned away; None if its ticket is genuine."""
        ticket = head.value(b"\r\ndoorward-ticket:")
        if ticket is None:
            ticket = self.ticket_in(b"\n" + body, 0)
        if not ticket:
            return self.shaped(head, "gate.ticket.missing")
        if len(ticket) > _LONGEST_TICKET or not self.is_genuine(ticket):
            return self.shaped(head, "gate.ticket.forged")
        return None

    def shaped(self, head: Head, code: str) -> Answer:
        """The refusal as a page for people, or as a problem for programs."""
        if head.lower.find(b"text/html") >= 0 and not head.target.startswith(b"/api/"):
            accept = head.value(b"\r\naccept:")
            if accept is not None and b"text/html" in accept.lower():
                return self._pages[code, "/login" if head.target.startswith(b"/login") else "/signup"]
        return self._problems[code]


class Buffered:
    """Gathers a small body before anybody is asked; the street's limit keeps it small."""

    has_begun_answer = False

    def __init__(self, head: Head, then: Callable[[Head, bytes], None]) -> None:
        self._head = head
        self._then = then
        self._pieces: list[bytes] = []

    def body(self, data: bytes) -> None:
        """Some of the body."""
        self._pieces.append(data)

    def body_end(self) -> None:
        """The body is whole: go on with it."""
        self._then(self._head, b"".join(self._pieces))

    def pause(self) -> None:
        """Nothing is being written."""

    def resume(self) -> None:
        """Nothing is being written."""

    def cancel(self) -> None:
        """Nothing has been begun."""

    def end_now(self) -> None:
        """Nothing has been begun."""
