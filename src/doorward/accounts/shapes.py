"""What requests may say, with a limit on everything."""

from typing import Annotated

import msgspec
from msgspec import Meta

from doorward.hall.hidden import Unprinted

Email = Annotated[str, Meta(max_length=320)]
Password = Annotated[str, Meta(max_length=1024)]
Ticket = Annotated[str, Meta(max_length=256)]
Proof = Annotated[str, Meta(max_length=8192)]
Id = Annotated[str, Meta(max_length=64)]
Code = Annotated[str, Meta(max_length=32)]
Token = Annotated[str, Meta(max_length=512)]


class OfferBody(Unprinted, msgspec.Struct):
    """Ask for a ticket and a challenge. The address may be given, so that the price is right at once."""

    email: Email = ""


class SignupBody(Unprinted, msgspec.Struct):
    """The form of a sign-up."""

    email: Email
    ticket: Ticket = ""
    proof: Proof = ""
    password: Password = ""


class LoginBody(Unprinted, msgspec.Struct):
    """The form of a log-in."""

    email: Email
    ticket: Ticket = ""
    proof: Proof = ""
    password: Password = ""


class ConfirmBody(Unprinted, msgspec.Struct):
    """The code from the letter, or the token of the letter's link."""

    pending: Id = ""
    code: Code = ""
    link: Token = ""


class PendingBody(msgspec.Struct):
    """What waits for its code."""

    pending: Id


class LinkBody(Unprinted, msgspec.Struct):
    """The token of a link, from the page that the link opened."""

    token: Token


class KeyBody(msgspec.Struct):
    """A new API key."""

    name: Annotated[str, Meta(max_length=200)]
    scopes: Annotated[list[Annotated[str, Meta(max_length=32)]], Meta(max_length=16)] = msgspec.field(
        default_factory=lambda: ["*"]
    )
    expires_in_days: int | None = None


class DeletionBody(Unprinted, msgspec.Struct):
    """What shows that somebody wants their own account gone, and may."""

    email: Email
    password: Password = ""
    pending: Id = ""
    code: Code = ""


class NamedAccountBody(msgspec.Struct):
    """The id of an account, typed by whoever is about to delete it."""

    account_id: Id


class OperatorProofBody(msgspec.Struct):
    """Ask for a proof that this service knows a key."""

    key_id: Id
    nonce: Annotated[str, Meta(min_length=16, max_length=256)]
