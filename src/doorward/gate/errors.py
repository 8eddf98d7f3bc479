"""What can be wrong with what somebody asks of the gate. A refusal at the door is a `Verdict`, not an error."""

from doorward.hall.errors import ConflictError, InvalidInputError, NotFoundError


class PostureChangeError(InvalidInputError):
    """This change of the posture is not possible."""

    code = "gate.posture_invalid"
    advice = "Give a level, a cohort such as `mail=example.org` or `*`, a reason, and an expiry in the future."


class CohortSyntaxError(InvalidInputError):
    """This is not the name of a cohort."""

    code = "gate.cohort_invalid"
    advice = "Write `*`, or terms joined by `&`, e.g. `mail=example.org&client=chrome/131/windows` or `form=6..8`."


class RulesError(InvalidInputError):
    """The cohort rules cannot be right."""

    code = "gate.rules_invalid"
    advice = "Correct the rules file at the place that the message names; the schema is in its reference page."


class NothingToUndoError(ConflictError):
    """That change is not in force any more."""

    code = "gate.nothing_to_undo"
    advice = "Look at the history: the change has expired, or another one has taken its place."


class PlaceNotFoundError(NotFoundError):
    """There is no place on the wait-list by that name."""

    code = "gate.place_not_found"
    advice = "Use the address of the page that you were given; a place is kept for thirty days."


class InvitationUsedError(NotFoundError):
    """This invitation is not valid, or has been used."""

    code = "gate.invitation_invalid"
    advice = "If you have an account already, log in; otherwise sign up again."
