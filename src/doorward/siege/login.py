"""The way of a log-in by password, seen from outside."""

from dataclasses import dataclass
from typing import Any, Final

from doorward.siege.client import Actor
from doorward.siege.mailboxes import Mailboxes
from doorward.siege.proofs import SolverPool, payload
from doorward.siege.target import Reply, Target, patiently

MOST_PAYMENTS: Final = 3
MOST_LETTERS: Final = 3
_PATIENCE_SECONDS: Final = 15.0
_NATIVE_MS_PER_TRY: Final = 0.08


@dataclass(frozen=True, slots=True)
class LogIn:
    """Logs in. Without `mailboxes` (an attacker) a code that was mailed cannot be read."""

    target: Target
    solvers: SolverPool
    mailboxes: Mailboxes | None

    async def run(self, actor: Actor, email: str, password: str) -> str:
        """Why it did not work; empty if it did.

        Raises:
            GaveUpError: the target stayed busy or made no sense. NoProofError: the price was not paid.
        """
        if self.mailboxes is not None:
            self.mailboxes.pass_over(email)
        form: dict[str, str] = {"email": email, "password": password, "ticket": "", "proof": ""}
        offer = await self._ask(actor, "/api/v1/login/offer", {})
        if self.mailboxes is None:  # a stranger's device knows that it has to pay
            form |= await self._paid(offer.data)
        else:  # an owner's known device sends the ticket and hopes not to
            form["ticket"] = str(offer.data.get("ticket", ""))
        for _ in range(MOST_PAYMENTS):
            reply = await self._ask(actor, "/api/v1/login", form)
            if reply.status != 428:
                break
            form |= await self._paid(reply.mapping("offer"))
        if reply.status == 200:
            return "" if reply.data.get("session") else "no-session"
        if reply.status == 202 and self.mailboxes is not None:
            return await self._confirm(actor, email, reply.text("pending"))
        return "code-by-mail" if reply.status == 202 else reply.code

    async def _confirm(self, actor: Actor, email: str, pending: str) -> str:
        if self.mailboxes is None:
            return "code-by-mail"
        for _ in range(MOST_LETTERS):  # an attacker's tries cause letters too: one of them may come first
            mail = await self.mailboxes.next_mail(email, _PATIENCE_SECONDS)
            reply = await self._ask(actor, "/api/v1/login/confirm", {"pending": pending, "code": mail.code})
            if reply.status == 200:
                return ""
        return reply.code

    async def _ask(self, actor: Actor, path: str, value: object) -> Reply:
        return await patiently(lambda: self.target.post(actor, path, value), _PATIENCE_SECONDS)

    async def _paid(self, offer: dict[str, Any]) -> dict[str, str]:
        challenge = offer.get("challenge")
        if not isinstance(challenge, dict):
            return {}
        counter, key = await self.solvers.solve(challenge)
        proof = payload(challenge, counter, key, max(1, counter) * _NATIVE_MS_PER_TRY)
        return {"ticket": str(offer.get("ticket", "")), "proof": proof}
