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


class TooManyKeysError(ConflictError):
    """You have as many API keys as an account may have."""

    code = "accounts.keys.full"
    advice = "Revoke one that you no longer use."


class TooManyTriesError(TooManyError):
    """Too many attempts from this device."""

    code = "accounts.login.device_budget"


class HashQueueFullError(UnavailableError):
    """Too many passwords are being checked at this moment."""

    code = "accounts.hashing.busy"


class RecallBudgetError(UnavailableError):
    """Too many unknown sessions and keys are being looked up at this moment."""

    code = "accounts.recall.busy"
