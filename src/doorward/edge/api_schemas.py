"""Shapes of the JSON API, as JSON Schema 2020-12 (the dialect of OpenAPI 3.1).

What a caller sends is taken from the rooms' own structs, with words added by the member's name. What we answer is kept
by hand, because it is a promise to others; a test holds it against real answers.
"""

from typing import Any, Final

import msgspec

from doorward.accounts import shapes
from doorward.gate.web import PostureBody, UndoBody
from doorward.vault.web import RotationBody

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


def _or_none(name: str, description: str) -> Schema:
    return {"anyOf": [ref(name), {"type": "null"}], "description": description}


_UNIX: Final = _number("Unix seconds.", "number")
_UNIX_OR_NONE: Final[Schema] = {"type": ["number", "null"], "description": "Unix seconds; null: never."}
_TEXT_OR_NONE: Final[Schema] = {"type": ["string", "null"]}
_LEVEL: Final = ref("Level")
_SESSION: Final = _text("A session token, `dws_…`; also set as a cookie.")
_LANE: Final = _text("Who is served before whom.", enum=["existing", "probation"])
_SCOPES: Final[Schema] = {"type": "array", "items": _text()}
_NEXT: Final = "Give it as `after` for what follows."

WORDS: Final = {
    "email": "E-mail address.",
    "password": "A password; leave it out to log in by mail code.",
    "ticket": "The ticket of the offer.",
    "proof": "The solved challenge: an ALTCHA v2 payload, base 64.",
    "code": "The code from the mail.",
    "pending": "Names what waits for the code.",
    "link": "The token of the mail's link, instead of a code.",
    "name": "What the key is for.",
    "scopes": "What the key may do; `*` is everything of the AI service.",
    "expires_in_days": "Days until the key ends; without it, never.",
    "key_id": "The id of a key with the scope `admin`.",
    "nonce": "Random text of the caller.",
    "level": "How strict the door is.",
    "cohort": "A cohort's key, `*` for everybody.",
    "reason": "Why, for those who read the history.",
    "expires_in_seconds": "How long it holds, in seconds.",
    "version": "The number of the change.",
    "with_data_keys": "Also give every person a new data key; takes longer.",
}

BODIES: Final = (
    shapes.OfferBody,
    shapes.SignupBody,
    shapes.LoginBody,
    shapes.ConfirmBody,
    shapes.PendingBody,
    shapes.KeyBody,
    shapes.DeletionBody,
    shapes.OperatorProofBody,
    PostureBody,
    UndoBody,
    RotationBody,
)

_ANSWERS: Final[dict[str, Schema]] = {
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
            reasons=_list_of("Reason"),
        ),
    },
    "Reason": _object("code evidence", code=_text(), evidence={"type": "object", "additionalProperties": _text()}),
    "Offer": _object(
        "ticket challenge expires_at",
        ticket=_text("Goes with the form."),
        challenge={"type": "object", "description": "An ALTCHA v2 challenge."},
        expires_at=_UNIX,
    ),
    "Mailed": _object(
        "pending next",
        pending=_text("Names what waits for the code."),
        next=_text("What is in the mail: a code to confirm, or a link.", enum=["confirm", "mail_link"]),
    ),
    "MailedOrWaitlisted": {
        "description": "Either a mail is on its way, or there is a place in line.",
        **_object(
            "",
            pending=_text("Names what waits for the code."),
            next=_text("What is in the mail: a code to confirm, or a link.", enum=["confirm", "mail_link"]),
            waitlisted={"type": "boolean"},
            position=_number("Place in line; 1 is next."),
            place=_text("Names the place: `GET /api/v1/waitlist/{token}`."),
        ),
    },
    "SentAgain": _object("pending", pending=_text()),
    "Entered": _object(
        "account_id lane session expires_at device",
        account_id=_text(),
        lane=_LANE,
        session=_SESSION,
        expires_at=_UNIX,
        device=_text("Send it as `Doorward-Device` at the next log-in: this device is known then."),
    ),
    "Account": _object("account_id lane role usage", account_id=_text(), lane=_LANE, role=_text(), usage=ref("Usage")),
    "Usage": _object(
        "tokens_today tokens_per_day requests_ok requests_refused active_days is_recorded",
        tokens_today=_number(),
        tokens_per_day={"type": ["integer", "null"], "description": "Null: no cap."},
        requests_ok=_number(),
        requests_refused=_number(),
        active_days=_number(),
        is_recorded={"type": "boolean", "description": "Whether what you ask and are answered is kept for a while."},
    ),
    "ShredReceipt": {
        "description": "Proof that the keys of a person were destroyed, signed by the key ring (Ed25519).",
        **_object(
            "receipt_id ring_id subjects shredded_at cleared_at reason destroyed public_key signature",
            receipt_id=_text(),
            ring_id=_text("Whose key ring signed it."),
            subjects={"type": "array", "items": _text(), "description": "Whose keys are gone."},
            shredded_at=_UNIX,
            cleared_at={"type": ["number", "null"], "description": "When old pages were clear too; null: not yet."},
            reason=_text("`person`, `operator`, or `admin:` and an account's id."),
            destroyed={"type": "object", "additionalProperties": _number(), "description": "Rows that went, by table."},
            public_key=_text("Hexadecimal."),
            signature=_text("Of everything else, hexadecimal."),
        ),
    },
    "Session": _object(
        "session_id created_at last_used_at expires_at device current",
        session_id=_text(),
        created_at=_UNIX,
        last_used_at=_UNIX,
        expires_at=_UNIX,
        device=_text("What the browser called itself."),
        current={"type": "boolean", "description": "Whether this request came with it."},
    ),
    "Sessions": _object("sessions", sessions=_list_of("Session")),
    "Ended": _object("ended", ended=_number("How many ended.")),
    "Key": _object(
        "key_id name hint scopes created_at expires_at last_used_at",
        key_id=_text(),
        name=_text(),
        hint=_text("The first characters, to recognise it by."),
        scopes=_SCOPES,
        created_at=_UNIX,
        expires_at=_UNIX_OR_NONE,
        last_used_at=_UNIX_OR_NONE,
    ),
    "Keys": _object("keys", keys=_list_of("Key")),
    "NewKey": {
        "allOf": [ref("Key"), _object("key", key=_text("The key, `dw_live_…`; shown this once."))],
    },
    "Place": _object(
        "state position",
        state=_text("Where you stand.", enum=["waiting", "invited", "joined"]),
        position=_number("1 is next."),
    ),
    "Letter": _object(
        "sequence recipient subject text html at",
        sequence=_number(),
        recipient=_text(),
        subject=_text(),
        text=_text(),
        html=_text(),
        at=_UNIX,
    ),
    "Letters": _object("letters next", letters=_list_of("Letter"), next=_number(_NEXT)),
    "AccountEntry": _object(
        "account_id email lane role created_at",
        account_id=_text(),
        email=_text("All but the first letter of the name is hidden."),
        lane=_LANE,
        role=_text(),
        created_at=_UNIX,
    ),
    "Accounts": _object("accounts next", accounts=_list_of("AccountEntry"), next=_text(_NEXT)),
    "PostureChange": _object(
        "version cohort from to reason evidence at expires_at set_by undoes",
        version=_number("Counts up with every change."),
        cohort=_text("Whom it concerns; `*` is everybody."),
        **{"from": _LEVEL, "to": _LEVEL},
        reason=_text(),
        evidence={"type": "object", "additionalProperties": _text()},
        at=_UNIX,
        expires_at=_UNIX,
        set_by=_text("`detector`, or the id of an account."),
        undoes={"type": ["integer", "null"], "description": "The change that this one takes back."},
    ),
    "Posture": _object("version posture", version=_number("Of the newest change."), posture=_list_of("PostureChange")),
    "PostureHistory": _object(
        "history before",
        history=_list_of("PostureChange"),
        before={"type": ["integer", "null"], "description": "Give it as `before` for what follows; null at the end."},
    ),
    "VaultState": _object(
        "ring keys rotation shredding transport certificates backups",
        ring=ref("VaultRing"),
        keys=ref("VaultKeys"),
        rotation=ref("Rotation"),
        shredding=_object(
            "number last_receipt_id last_at public_key",
            number=_number("How many deletions destroyed keys."),
            last_receipt_id=_TEXT_OR_NONE,
            last_at=_UNIX_OR_NONE,
            public_key=_text("Verifies receipts (Ed25519, hexadecimal); empty while the vault is locked."),
        ),
        transport=_or_none("VaultTransport", "TLS of this process's listener; null: it has none."),
        certificates=_or_none("VaultCertificates", "The certificate that renews itself; null: none does."),
        backups=_or_none("VaultBackups", "Backups; null: none are made by themselves."),
    ),
    "VaultRing": _object(
        "id state lock key since locks_at",
        id=_text("The ring that this database belongs to."),
        state=_text("`doubt`: open, but the key could not be confirmed.", enum=["open", "doubt", "locked"]),
        lock=_text("What opened the ring; empty: it is in memory only."),
        key=_text("What is known of that lock's key.", enum=["", "held", "sound", "away", "refused"]),
        since={**_UNIX_OR_NONE, "description": "When the key last opened the ring, in Unix seconds."},
        locks_at={**_UNIX_OR_NONE, "description": "When it will lock itself, in Unix seconds; null: it will not."},
    ),
    "VaultKeys": _object(
        "kek_version kek_made_at data_keys rotating left",
        kek_version=_number("Of the key-encryption key in use."),
        kek_made_at=_UNIX,
        data_keys={"type": "array", "items": _object("kek_version number", kek_version=_number(), number=_number())},
        rotating={"type": "boolean", "description": "Older key-encryption keys are still in use."},
        left=_number("Data keys that an older key-encryption key still wraps."),
    ),
    "Rotation": {
        "description": "The rotation of this process, the present or the last one.",
        **_object(
            "running stage version rewrapped people kept done waits_until",
            running={"type": "boolean"},
            stage=_text("Empty: none was begun.", enum=["", "begin", "rewrap", "destroy", "reseal", "wait", "settle"]),
            version=_number("Of the new key-encryption key."),
            rewrapped=_number("Data keys that were wrapped anew."),
            people=_number("People whose values were sealed anew."),
            kept=_number("People whose former data key stays, for values that do not open."),
            done={"type": "boolean"},
            waits_until={**_UNIX_OR_NONE, "description": "Until nobody has a former key in memory, in Unix seconds."},
        ),
    },
    "VaultTransport": _object(
        "names expires_at refused handshakes failures post_quantum_percent",
        names={"type": "array", "items": _text(), "description": "Of the certificate."},
        expires_at=_UNIX,
        refused=_text("Why the newest certificate files are not served; empty: they are."),
        handshakes={
            "type": "array",
            "items": _object(
                "version group suite number", version=_text(), group=_text(), suite=_text(), number=_number()
            ),
        },
        failures={"type": "object", "additionalProperties": _number(), "description": "By cause."},
        post_quantum_percent={
            "type": ["number", "null"],
            "description": "Of the handshakes, those with ML-KEM; null: none yet.",
        },
    ),
    "VaultCertificates": _object(
        "authority domains expires_at renew_at failures problem retry_at",
        authority=_text("Its directory (RFC 8555)."),
        domains={"type": "array", "items": _text()},
        expires_at=_UNIX_OR_NONE,
        renew_at=_UNIX_OR_NONE,
        failures=_number("Orders that failed in a row."),
        problem=_text("Of the last one; empty: none."),
        retry_at=_UNIX_OR_NONE,
    ),
    "VaultBackups": _object(
        "made_at size_bytes drilled_at drill_failed",
        made_at=_UNIX_OR_NONE,
        size_bytes=_number(),
        drilled_at={**_UNIX_OR_NONE, "description": "When one was last brought back for a trial; Unix seconds."},
        drill_failed={"type": "boolean"},
    ),
    "OperatorProof": _object("proof", proof=_text("HMAC-SHA-256 of the nonce under the SHA-256 of the key.")),
    "Readiness": _object(
        "ready lanes parts",
        ready={"type": "boolean"},
        lanes={"type": "object", "additionalProperties": _text(enum=["ok", "degraded", "away"])},
        parts={"type": "object", "additionalProperties": _text(enum=["ok", "away"])},
    ),
}


def _body_schemas() -> dict[str, Schema]:
    _, components = msgspec.json.schema_components(BODIES, ref_template="#/components/schemas/{name}")
    for schema in components.values():
        schema.pop("title", None)
        for name, member in schema.get("properties", {}).items():
            if name in WORDS:
                member["description"] = WORDS[name]
    return components


SCHEMAS: Final[dict[str, Schema]] = {**_body_schemas(), **_ANSWERS}
