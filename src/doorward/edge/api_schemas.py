"""Shapes of the JSON API, as JSON Schema 2020-12 (the dialect of OpenAPI 3.1).

Kept by hand, because it is a promise to others; tests compare it with the rooms' own structs and with real answers.
"""

from typing import Any, Final

Schema = dict[str, Any]


def _object(required: str, /, **properties: Schema) -> Schema:
    """An object; `required` names the members that are always there, apart by blanks."""
    schema: Schema = {"type": "object", "properties": properties}
    return {**schema, "required": required.split()} if required else schema


def _text(description: str = "", **more: Any) -> Schema:
    return {"type": "string", **({"description": description} if description else {}), **more}


def _number(description: str = "", kind: str = "integer", **more: Any) -> Schema:
    return {"type": kind, **({"description": description} if description else {}), **more}


def ref(name: str) -> Schema:
    """A reference to one of these shapes."""
    return {"$ref": f"#/components/schemas/{name}"}


def _list_of(name: str) -> Schema:
    return {"type": "array", "items": ref(name)}


_EMAIL: Final = _text("E-mail address.", format="email", maxLength=320)
_PASSWORD: Final = _text("A password; leave it out to log in by mail code.", format="password", maxLength=1024)
_TICKET: Final = _text("The ticket of the offer.", maxLength=256)
_PROOF: Final = _text("The solved challenge: an ALTCHA v2 payload, base 64.", maxLength=8192)
_CODE: Final = _text("The code from the mail.", maxLength=16)
_PENDING: Final = _text("Names what waits for the code.", maxLength=256)
_UNIX: Final = _number("Unix seconds.", "number")
_SESSION: Final = _text("A session token, `dws_…`; also set as a cookie.")
_LANE: Final = _text("Who is served before whom.", enum=["existing", "probation"])
_LEVEL: Final = _text("How strict the door is.", enum=["open", "careful", "probation", "waitlist"])

SCHEMAS: Final[dict[str, Schema]] = {
    "Problem": {
        "description": "An error (RFC 9457).",
        **_object(
            "type title status detail code advice request_id",
            type=_text("The page that explains this kind of problem.", format="uri"),
            title=_text(),
            status=_number(),
            detail=_text("What is wrong with this request."),
            code=_text("Stable; does not change with the words."),
            advice=_text("What to do now."),
            request_id=_text("Give it to the operator."),
            field=_text("The input at fault."),
            retry_after=_number("Seconds to wait, as in `Retry-After`."),
            offer=ref("Offer"),
        ),
    },
    "OfferRequest": _object("", email=_EMAIL),
    "Offer": _object(
        "ticket challenge expires_at",
        ticket=_TICKET,
        challenge={"type": "object", "description": "An ALTCHA v2 challenge."},
        expires_at=_UNIX,
    ),
    "Signup": _object("ticket email", ticket=_TICKET, proof=_PROOF, email=_EMAIL, password=_PASSWORD),
    "SignupTaken": _object(
        "",
        pending=_PENDING,
        next=_text("What comes next.", enum=["confirm", "mail_link"]),
        waitlisted={"type": "boolean"},
        position=_number("Place in line; 1 is next."),
        place=_text("Names the place: `GET /api/v1/waitlist/{token}`."),
    ),
    "Confirmation": _object("pending code", pending=_PENDING, code=_CODE),
    "Login": _object("email", email=_EMAIL, password=_PASSWORD, ticket=_TICKET, proof=_PROOF),
    "Pending": _object("pending", pending=_PENDING),
    "Session": _object("session", session=_SESSION),
    "NewAccount": _object("account_id lane session", account_id=_text(), lane=_LANE, session=_SESSION),
    "Account": _object("account_id lane role usage", account_id=_text(), lane=_LANE, role=_text(), usage=ref("Usage")),
    "Usage": _object(
        "tokens_today requests_ok requests_refused active_days",
        tokens_today=_number(),
        tokens_per_day={"type": ["integer", "null"], "description": "Null: no cap."},
        requests_ok=_number(),
        requests_refused=_number(),
        active_days=_number(),
    ),
    "SessionEntry": _object("session_id", session_id=_text()),
    "Sessions": _object("sessions", sessions=_list_of("SessionEntry")),
    "KeyRequest": _object(
        "name",
        name=_text(maxLength=100),
        scopes={"type": "array", "items": _text()},
        expires_in_days=_number(),
    ),
    "KeyEntry": _object("key_id name scopes", key_id=_text(), name=_text(), scopes={"type": "array", "items": _text()}),
    "Keys": _object("keys", keys=_list_of("KeyEntry")),
    "NewKey": _object("key_id key", key_id=_text(), key=_text("The key, `dw_live_…`; shown this once.")),
    "Place": _object("position", position=_number("1 is next.")),
    "Letters": _object("letters", letters=_list_of("Letter")),
    "Letter": _object(
        "sequence recipient subject text", sequence=_number(), recipient=_text(), subject=_text(), text=_text()
    ),
    "Posture": _object("version", version=_number()),
    "PostureChange": _object(
        "level reason",
        cohort=_text("A cohort's key, `*` for everybody."),
        level=_LEVEL,
        reason=_text(),
        minutes=_number("How long it holds."),
    ),
    "PostureHistory": _object("changes", changes={"type": "array", "items": {"type": "object"}}),
    "Accounts": _object("accounts", accounts={"type": "array", "items": {"type": "object"}}),
    "OperatorProofRequest": _object("key_id nonce", key_id=_text(), nonce=_text()),
    "OperatorProof": _object("proof", proof=_text("HMAC-SHA-256 of the nonce under the SHA-256 of the key.")),
    "Readiness": _object(
        "ready lanes parts",
        ready={"type": "boolean"},
        lanes={"type": "object", "additionalProperties": _text(enum=["ok", "degraded", "away"])},
        parts={"type": "object", "additionalProperties": _text(enum=["ok", "away"])},
    ),
}
