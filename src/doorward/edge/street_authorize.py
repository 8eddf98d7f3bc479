"""`/authorize`: may this request of somebody pass? Answered from memory for a proxy in front of the AI service.

Understood by nginx `auth_request`, Caddy `forward_auth`, Traefik `forwardAuth` (any 2xx is a yes) and Envoy
`ext_authz` (200 only, and it adds the original path behind `/authorize`). Nothing here can read the posture: a
`Judge` is given the book of standings and the allowances, and no gate.
"""

import re
from typing import Final

from doorward.edge.street_answers import Answer
from doorward.edge.street_parts import StreetParts
from doorward.edge.wire import Head
from doorward.hall.model import Lane, Standing

_PROBATION: Final = Lane.PROBATION
_DAY_SECONDS: Final = 86_400
_KEPT_ANSWERS: Final = 4_096
_SCOPE_IN_QUERY: Final = re.compile(rb"(?:\A|&)scope=([^&]{1,200})")
_SCOPE_SEPARATOR: Final = re.compile(r"[ ,+]+|%20|%2C", re.IGNORECASE)
_SCOPE: Final = re.compile(r"[A-Za-z0-9_.:*-]{1,64}")
_BEARER: Final = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([!-~]{1,256})")
_START: Final = b"HTTP/1.1 200 OK\r\n"


def _denial(status_line: str, reason: str, *lines: str) -> Answer:
    head = "".join(f"{line}\r\n" for line in (f"x-doorward-reason: {reason}", *lines))
    rest = f"{head}cache-control: no-store\r\ncontent-length: 0\r\n\r\n".encode()
    return Answer(int(status_line[:3]), f"HTTP/1.1 {status_line}\r\n".encode(), rest, reason)


_CHALLENGE: Final = 'www-authenticate: Bearer realm="doorward"'
_INVALID: Final = 'www-authenticate: Bearer realm="doorward", error="invalid_token"'
MISSING: Final = _denial("401 Unauthorized", "credential.missing", _CHALLENGE)
MALFORMED: Final = _denial("401 Unauthorized", "credential.malformed", _INVALID)
UNKNOWN: Final = _denial("401 Unauthorized", "credential.unknown", _INVALID)
BUSY: Final = _denial("503 Service Unavailable", "service.busy", "retry-after: 1")


class Judge:
    """Reads credentials, and turns a standing into an answer."""

    def __init__(self, parts: StreetParts) -> None:
        self._allowance = parts.allowance
        self._clock = parts.clock
        name = re.escape(parts.cookie_name.encode())
        self._cookie = re.compile(rb"(?:\A|; ?)" + name + rb'="?([!-:<-~]{1,256}?)"?(?:;|\Z)')
        self._kept: dict[str, tuple[Standing, Answer]] = {}

    def credential(self, head: Head) -> bytes | None:
        """What the caller shows: `Authorization: Bearer …` before the session cookie; None if nothing."""
        value = head.value(b"\r\nauthorization:")
        if value is not None:
            match = _BEARER.fullmatch(value)
            if match is not None:
                return match.group(1)
        value = head.value(b"\r\ncookie:")
        if value is not None:
            match = self._cookie.search(value)
            if match is not None:
                return match.group(1)
        return None

    def answer(self, head: Head, standing: Standing) -> Answer:
        """The answer to `/authorize` for somebody who belongs."""
        if b"?" in head.target or b"\r\nx-doorward-scope:" in head.lower:
            missing = _scopes_asked(head) - standing.scopes
            if missing and "*" not in standing.scopes:
                names = " ".join(sorted(missing))
                challenge = f'{_CHALLENGE}, error="insufficient_scope", scope="{names}"'
                return _denial("403 Forbidden", "scope.missing", challenge)
        return self.answer_plain(standing)

    def answer_plain(self, standing: Standing) -> Answer:
        """The same where no scope is asked for."""
        if standing.lane is _PROBATION and self._allowance is not None:
            left = self._allowance.allowance_left(standing)
            if left is not None and left <= 0:
                wait = _DAY_SECONDS - int(self._clock.now()) % _DAY_SECONDS
                return _denial("429 Too Many Requests", "allowance.used_up", f"retry-after: {wait}")
        kept = self._kept.get(standing.credential_id)
        if kept is not None and kept[0] is standing:
            return kept[1]
        return self._yes(standing)

    def _yes(self, standing: Standing) -> Answer:
        lines = (
            f"x-doorward-account: {standing.account_id}\r\nx-doorward-lane: {standing.lane.value}\r\n"
            f"x-doorward-role: {standing.role.value}\r\nx-doorward-scopes: {' '.join(sorted(standing.scopes))}\r\n"
            "x-doorward-reason: standing.good\r\ncache-control: no-store\r\ncontent-length: 0\r\n\r\n"
        )
        answer = Answer(200, _START, lines.encode("latin-1"), "standing.good")
        if len(self._kept) >= _KEPT_ANSWERS:
            self._kept.clear()
        self._kept[standing.credential_id] = (standing, answer)
        return answer


def _scopes_asked(head: Head) -> frozenset[str]:
    value = head.value(b"\r\nx-doorward-scope:")
    match = _SCOPE_IN_QUERY.search(head.query)
    asked = [value or b"", match.group(1) if match else b""]
    scopes = (scope for text in asked for scope in _SCOPE_SEPARATOR.split(text.decode("latin-1")[:200]))
    return frozenset(scope if _SCOPE.fullmatch(scope) else "invalid" for scope in scopes if scope)
