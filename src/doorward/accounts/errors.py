"""What can go wrong with accounts, as far as the caller can act on it."""

from doorward.hall.errors import (
    ConflictError,
    DoorwardError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
    TooManyError,
    UnavailableError,
)
from doorward.hall.model import Offer, Reason


class BadAddressError(InvalidInputError):
    """This is not an e-mail address that we can send to."""

    code = "accounts.email.invalid"
    advice = "Give an address of the form name@example.com, without quotes or comments."


class WeakPasswordError(InvalidInputError):
    """This password is too easy to guess."""

    code = "accounts.password.weak"
    advice = "Choose a longer one, for example four or more random words, or leave it empty and use codes by mail."


class WrongCodeError(InvalidInputError):
    """The code is wrong, used up or too old."""

    code = "accounts.code.wrong"
    advice = "Type the newest code from your mail, or ask for a new one."


class WrongLoginError(DoorwardError):
    """The address or the password is wrong."""

    code = "accounts.login.wrong"
    status = 401
    advice = "Check both, or leave the password empty to get a code by mail."


class LinkUsedError(NotFoundError):
    """This link was used already, or it is too old."""

    code = "accounts.link.used"
    advice = "Ask for a new one."


class SessionNeededError(NotAllowedError):
    """An API key cannot do this: it takes a log-in, or a key with the scope `admin`."""

    code = "accounts.session.needed"
    advice = "Log in and do it there."


class WrongPasswordError(InvalidInputError):
    """This is not the password of your account."""

    code = "accounts.password.wrong"
    advice = "Type the password that you log in with."


class NotYourAddressError(InvalidInputError):
    """This is not the address of your account."""

    code = "accounts.deletion.address"
    advice = "Type the e-mail address of your account, as the page `Account` shows it."


class LastAdminError(ConflictError):
    """This is the last administrator: nobody would be left to look after the service."""

    code = "accounts.last_admin"
    advice = "Let another administrator in first, with `doorward admin link --email …`."


class TooManyKeysError(ConflictError):
    """You have as many API keys as an account may have."""

    code = "accounts.keys.full"
    advice = "Revoke one that you no longer use."


class TooManyTriesError(TooManyError):
    """Too many attempts from this device."""

    code = "accounts.login.device_budget"


class TurnedAwayError(DoorwardError):
    """You cannot come in at this moment."""

    code = "gate.refused"
    status = 403
    advice = "Load the form again and send it once. If it goes on, ask the operator, with the request id."

    def __init__(self, reasons: tuple[Reason, ...], retry_after_seconds: int | None = None) -> None:
        """The gate's reasons, for the caller to read."""
        super().__init__(retry_after_seconds=retry_after_seconds)
        self.members: dict[str, object] = {"reasons": shown_reasons(reasons)}


class PriceHigherError(DoorwardError):
    """It takes another calculation by your device before this goes on."""

    code = "gate.price"
    status = 428
    advice = "Solve the challenge in `offer`, and send the same again with its ticket and proof."

    def __init__(self, offer: Offer, reasons: tuple[Reason, ...]) -> None:
        """What there is to pay now, and why."""
        super().__init__()
        self.members: dict[str, object] = {"offer": shown_offer(offer), "reasons": shown_reasons(reasons)}


def shown_offer(offer: Offer) -> dict[str, object]:
    """An offer as the API shows it."""
    return {"ticket": offer.ticket, "challenge": offer.challenge, "expires_at": offer.expires_at}


def shown_reasons(reasons: tuple[Reason, ...]) -> list[dict[str, object]]:
    """Reasons as the API shows them."""
    return [{"code": reason.code, "evidence": dict(reason.evidence)} for reason in reasons]


class HashQueueFullError(UnavailableError):
    """Too many passwords are being checked at this moment."""

    code = "accounts.hashing.busy"


class RecallBudgetError(UnavailableError):
    """Too many unknown sessions and keys are being looked up at this moment."""

    code = "accounts.recall.busy"
