"""Operations of the JSON API: method, address, words, shapes. A test holds this list against the router."""

from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `answers`: status -> name of a shape ("" for none). `caller`: anybody, member or admin."""

    method: str
    path: str
    summary: str
    tag: str
    caller: str = "anybody"
    body: str = ""
    answers: dict[int, str] = field(default_factory=dict)
    query: tuple[tuple[str, str], ...] = ()


SIGNUP: Final = "Sign-up"
LOGIN: Final = "Log-in"
ACCOUNT: Final = "Account"
ADMIN: Final = "Administration"
STATE: Final = "State of the service"

STATUS_WORDS: Final = {
    200: "Done.",
    201: "Made.",
    202: "Taken; there is a next step.",
    204: "Done; nothing to say.",
    403: "Refused, with the reason.",
    409: "It does not fit the state that things are in; the problem says how.",
    428: "The price has changed: solve the challenge in `offer` and send again.",
    503: "Away for the moment.",
}
_AFTER: Final = ("after", "Only what follows it in the list.")
_LIMIT: Final = ("limit", "How many at most.")

OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation(
        "POST",
        "/api/v1/signup/offer",
        "Ask for a ticket and a challenge",
        SIGNUP,
        body="OfferBody",
        answers={200: "Offer"},
    ),
    Operation(
        "POST",
        "/api/v1/signup",
        "Sign up with the solved challenge",
        SIGNUP,
        body="SignupBody",
        answers={202: "MailedOrWaitlisted", 403: "Problem", 428: "Problem"},
    ),
    Operation(
        "POST",
        "/api/v1/signup/confirm",
        "Confirm with the code or the link from the mail",
        SIGNUP,
        body="ConfirmBody",
        answers={201: "Entered"},
    ),
    Operation(
        "POST",
        "/api/v1/signup/resend",
        "Have the mail sent again, within the limits",
        SIGNUP,
        body="PendingBody",
        answers={202: "SentAgain"},
    ),
    Operation("GET", "/api/v1/waitlist/{token}", "Look up a place in line", SIGNUP, answers={200: "Place"}),
    Operation(
        "POST",
        "/api/v1/login/offer",
        "Ask for a ticket and a challenge",
        LOGIN,
        body="OfferBody",
        answers={200: "Offer"},
    ),
    Operation(
        "POST",
        "/api/v1/login",
        "Log in with a password, or ask for a mail code",
        LOGIN,
        body="LoginBody",
        answers={200: "Entered", 202: "Mailed", 403: "Problem", 428: "Problem"},
    ),
    Operation(
        "POST",
        "/api/v1/login/confirm",
        "Log in with the code or the link from the mail",
        LOGIN,
        body="ConfirmBody",
        answers={200: "Entered"},
    ),
    Operation(
        "POST",
        "/api/v1/login/resend",
        "Have the mail sent again, within the limits",
        LOGIN,
        body="PendingBody",
        answers={202: "SentAgain"},
    ),
    Operation("POST", "/api/v1/logout", "End this session", LOGIN, "member", answers={204: ""}),
    Operation(
        "GET", "/api/v1/account", "The account and what it has used today", ACCOUNT, "member", answers={200: "Account"}
    ),
    Operation(
        "DELETE",
        "/api/v1/account",
        "Delete the account, for good; with its password, or a mailed code where it has none",
        ACCOUNT,
        "member",
        body="DeletionBody",
        answers={200: "ShredReceipt"},
    ),
    Operation(
        "POST",
        "/api/v1/account/deletion-code",
        "Have the code mailed that confirms the deletion of an account without a password",
        ACCOUNT,
        "member",
        answers={202: "SentAgain"},
    ),
    Operation("GET", "/api/v1/sessions", "List the sessions", ACCOUNT, "member", answers={200: "Sessions"}),
    Operation("DELETE", "/api/v1/sessions", "End all other sessions", ACCOUNT, "member", answers={200: "Ended"}),
    Operation("DELETE", "/api/v1/sessions/{id}", "End a session", ACCOUNT, "member", answers={204: ""}),
    Operation("GET", "/api/v1/keys", "List the API keys", ACCOUNT, "member", answers={200: "Keys"}),
    Operation("POST", "/api/v1/keys", "Make an API key", ACCOUNT, "member", body="KeyBody", answers={201: "NewKey"}),
    Operation("DELETE", "/api/v1/keys/{id}", "Revoke an API key", ACCOUNT, "member", answers={204: ""}),
    Operation("GET", "/api/v1/admin/posture", "How strict the door is now", ADMIN, "admin", answers={200: "Posture"}),
    Operation(
        "POST",
        "/api/v1/admin/posture",
        "Change the posture by hand, with a reason and an end",
        ADMIN,
        "admin",
        body="PostureBody",
        answers={201: "PostureChange"},
    ),
    Operation(
        "GET",
        "/api/v1/vault",
        "The vault: ring, keys, rotation, shredding, transport, certificates",
        ADMIN,
        "admin",
        answers={200: "VaultState"},
    ),
    Operation(
        "POST",
        "/api/v1/vault/rotations",
        "Replace the key-encryption key while the service runs",
        ADMIN,
        "admin",
        body="RotationBody",
        answers={202: "Rotation", 409: "Problem"},
    ),
    Operation(
        "POST",
        "/api/v1/admin/posture/undo",
        "Take a change of the posture back",
        ADMIN,
        "admin",
        body="UndoBody",
        answers={201: "PostureChange"},
    ),
    Operation(
        "GET",
        "/api/v1/admin/posture/history",
        "Every change of the posture, the newest first",
        ADMIN,
        "admin",
        answers={200: "PostureHistory"},
        query=(("before", "Only changes with a smaller version."),),
    ),
    Operation(
        "GET",
        "/api/v1/admin/accounts",
        "List the accounts, the newest first",
        ADMIN,
        "admin",
        answers={200: "Accounts"},
        query=(_AFTER, _LIMIT),
    ),
    Operation(
        "DELETE",
        "/api/v1/admin/accounts/{id}",
        "Delete somebody's account, for good",
        ADMIN,
        "admin",
        answers={200: "ShredReceipt"},
    ),
    Operation(
        "GET",
        "/api/v1/admin/letters",
        "Read the local mail sink",
        ADMIN,
        "admin",
        answers={200: "Letters"},
        query=(_AFTER, ("recipient", "Only letters to this address."), _LIMIT),
    ),
    Operation(
        "POST",
        "/api/v1/admin/operator-proof",
        "Prove that this service knows an administrator's key",
        ADMIN,
        body="OperatorProofBody",
        answers={200: "OperatorProof"},
    ),
    Operation("GET", "/readyz", "Whom the process can serve", STATE, answers={200: "Readiness", 503: "Readiness"}),
)
