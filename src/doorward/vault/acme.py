"""Certificates that order and renew themselves (RFC 8555), for the public listener.

1. The rows are the truth: certificate and keys, sealed. Every process writes its own files from them (`put_files`), and
   the listener reads those. Before there is any, a placeholder that nobody trusts lets it begin (`acme_files`).
2. Each worker looks whether an order is due: none yet, other domains or another authority than in the settings, or the
   time to renew has come. The time is a third of the life left, or what the authority suggests (RFC 9773).
3. Who holds the lease orders. The authority looks at port 80 of any machine: all of them read the tokens from the rows.
4. A failure is remembered in the rows with the time of the next try (`acme_model.after_failure`), so that no restart
   and no second machine comes too early. What is served stays.
5. What was issued and could not be written is kept in memory and written later: it is not ordered again meanwhile.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec
import structlog
from cryptography import x509
from sqlalchemy import Connection

from doorward.hall.clock import Clock
from doorward.hall.errors import UnavailableError
from doorward.hall.events import CertificateFailed, CertificateNearlyExpired, CertificateRenewed, Event
from doorward.hall.jobs import Job
from doorward.stores.outbox import Outbox
from doorward.stores.sql import Database
from doorward.vault import acme_tables as rows
from doorward.vault.acme_authority import ask_authority
from doorward.vault.acme_errors import (
    AcmeMissingError,
    AcmeOffError,
    AlreadyOrderingError,
    AuthorityError,
    NoCertificateError,
    NotDueError,
)
from doorward.vault.acme_files import identifiers, new_key, signing_request, write_files
from doorward.vault.acme_messages import Ask, Issued, Suggested
from doorward.vault.acme_model import Attempts, Certificate, after_failure, renewal_of
from doorward.vault.acme_settings import AcmeSettings
from doorward.vault.model import CertificatesPanel
from doorward.vault.tls_pair import CertificateError, checked_pair

_LOOK_SECONDS: Final = 5.0
_FILES_SECONDS: Final = 15.0
_IDLE_LOOK_SECONDS: Final = 60.0  # while nothing is due
_LEASE_MARGIN_SECONDS: Final = 120.0
_TOKEN_SECONDS: Final = 1_800.0
_SOONEST_LOOK_SECONDS: Final = 60.0
_LATEST_LOOK_SECONDS: Final = 86_400.0

_log = structlog.get_logger("doorward.vault")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeParts:
    """What certificates stand on. `owner` names this process among those that may order."""

    settings: AcmeSettings
    certificate_path: Path
    key_path: Path
    database: Database
    outbox: Outbox
    clock: Clock
    owner: str


class Certificates:
    """The certificate of the public listener, ordered and renewed."""

    def __init__(self, parts: AcmeParts) -> None:
        """Begin; nobody is asked before `renew` or `order`."""
        self._parts = parts
        self._settings = parts.settings
        self._look_at = 0.0
        self._unsaved: Certificate | None = None
        self._expires_at = 0.0
        self._orders: Counter[str] = Counter()

    # --- the house ---

    def jobs(self) -> list[Job]:
        """The recurring work: ordering where this process is a worker, files everywhere."""
        if not self._settings.is_on:
            return []
        return [
            Job("vault.certificate.renew", _LOOK_SECONDS, self.renew),
            Job("vault.certificate.files", _FILES_SECONDS, self.put_files, on_each_node=True),
        ]

    def figures(self) -> dict[str, float]:
        """Numbers for the metrics."""
        figures = {f'acme_orders_total{{result="{name}"}}': float(count) for name, count in self._orders.items()}
        if self._expires_at:
            figures["acme_certificate_expires_seconds"] = self._expires_at
        return figures

    async def overview(self) -> CertificatesPanel | None:
        """What the console shows; None where certificates are not ordered.

        Raises:
            StoreUnavailableError: the database is away.
        """
        if not self._settings.is_on:
            return None
        found, tries = await self._parts.database.read(lambda c: (rows.certificate_times(c), rows.attempts(c)))
        authority, domains, expires_at, renew_at = found or (
            self._settings.directory, self._settings.domains, None, None,
        )  # fmt: skip
        last = (tries.failures, tries.problem, tries.retry_at)
        return CertificatesPanel(authority, tuple(domains), expires_at, renew_at, *last)

    async def put_files(self) -> None:
        """Write the listener's files from the rows, if there is anything yet.

        Raises:
            CertificateFileError: the disk refuses. StoreUnavailableError: the database is away.
        """
        if not self._settings.is_on:
            return
        found = self._unsaved or await self._parts.database.read(rows.certificate)
        if found is None:
            return
        self._expires_at = found.not_after
        paths = self._parts.certificate_path, self._parts.key_path
        if await asyncio.to_thread(write_files, *paths, found.chain, found.key):
            _log.info("certificate_written", domains=found.domains, expires_at=found.not_after)

    async def challenges(self, limit: int) -> dict[str, str]:
        """Tokens that an authority may ask port 80 for now, with their answers.

        Raises:
            StoreUnavailableError: the database is away.
        """
        now = self._parts.clock.now()
        return await self._parts.database.read(lambda connection: rows.open_challenges(connection, now, limit))

    # --- ordering ---

    async def renew(self) -> None:
        """Order if an order is due; a failure is remembered, told and logged, and raises nothing.

        Raises:
            StoreUnavailableError: the database is away.
        """
        now = self._parts.clock.now()
        if now < self._look_at:
            return
        if self._unsaved is not None:
            await self._save(self._unsaved)
        found, attempts = await self._parts.database.read(lambda c: (rows.certificate(c), rows.attempts(c)))
        self._look_at = now + _IDLE_LOOK_SECONDS
        if found is not None and self._is_ours(found):
            found = await self._asked_when(found, now)
            if now < found.renew_at:
                self._look_at = min(now + _IDLE_LOOK_SECONDS, found.renew_at)
                return
        if now < attempts.retry_at:
            self._look_at = min(now + _IDLE_LOOK_SECONDS, attempts.retry_at)
            return
        try:
            await self.order(forced=True)
        except (AuthorityError, AlreadyOrderingError, AcmeMissingError) as error:
            _log.warning("certificate_not_ordered", code=error.code, reason=error.message)

    async def order(self, *, forced: bool = False) -> Certificate:
        """Order a certificate now, keep it and write the files.

        Raises:
            NotDueError: it is not due, or the time of the next try has not come (unless `forced`).
            AlreadyOrderingError: another process is at it. AuthorityError: the authority gave none.
            AcmeOffError, CertificateFileError, StoreUnavailableError.
        """
        self._must_be_on()
        parts, now = self._parts, self._parts.clock.now()
        if not forced:
            await self._must_be_due(now)
        until = now + self._settings.order_timeout_seconds + _LEASE_MARGIN_SECONDS
        if not await parts.database.write(lambda connection: rows.lease(connection, parts.owner, now, until)):
            raise AlreadyOrderingError
        outcome: Attempts | None = None
        try:
            self._unsaved = issued = await self._issued(self._settings.directory)
            self._orders["issued"] += 1
            outcome = Attempts()
            await self._save(issued)
        except AuthorityError as error:
            outcome = await self._failed(error)
            raise
        finally:
            await self._release(outcome)
        await self.put_files()
        return issued

    async def rehearse(self) -> Certificate:
        """Order from the staging authority, and keep nothing of it.

        Raises:
            AuthorityError: it gave none. AcmeOffError, StoreUnavailableError.
        """
        self._must_be_on()
        return await self._issued(self._settings.staging_directory)

    async def revoke(self, reason: int) -> Certificate:
        """Have the certificate called void, and make a new one due; `reason`: RFC 5280 section 5.3.1.

        Raises:
            NoCertificateError: there is none. AuthorityError: the authority refuses. StoreUnavailableError.
        """
        found = await self._parts.database.read(rows.certificate)
        if found is None:
            raise NoCertificateError
        ask = msgspec.structs.replace(
            await self._question("revoke", found.directory), certificate=found.chain, reason=reason
        )
        await ask_authority(ask)
        now = self._parts.clock.now()
        await self._parts.database.write(lambda connection: rows.plan_renewal(connection, now, found.not_after))
        return found

    def _must_be_on(self) -> None:
        if not self._settings.is_on:
            raise AcmeOffError
        if find_spec("acme") is None:
            raise AcmeMissingError

    async def _must_be_due(self, now: float) -> None:
        found, attempts = await self._parts.database.read(lambda c: (rows.certificate(c), rows.attempts(c)))
        if now < attempts.retry_at:
            raise NotDueError(retry_after_seconds=int(attempts.retry_at - now) + 1)
        if found is not None and self._is_ours(found) and now < found.renew_at:
            raise NotDueError

    def _is_ours(self, found: Certificate) -> bool:
        """Whether it is what the settings ask for."""
        wanted = {domain.lower() for domain in self._settings.domains}
        return found.directory == self._settings.directory and set(found.domains) == wanted

    async def _issued(self, directory: str) -> Certificate:
        domains = tuple(sorted({domain.lower() for domain in self._settings.domains}))
        key, shown = new_key(), list[str]()
        ask = msgspec.structs.replace(await self._question("order", directory), request=signing_request(key, domains))
        try:
            told = await ask_authority(ask, partial(self._show, shown))
        finally:
            if shown:
                await self._quietly(lambda connection: rows.drop_challenges(connection, shown))
        if not isinstance(told, Issued):
            raise AuthorityError("odd_answer", "The authority gave something else than a certificate.")
        return self._checked(directory, domains, told.chain, key)

    def _checked(self, directory: str, domains: tuple[str, ...], chain: str, key: str) -> Certificate:
        """What came, if it is what was ordered."""
        try:
            pair = checked_pair(chain.encode(), key.encode(), self._parts.clock.now())
            is_for_all = identifiers(pair.chain[0]) >= frozenset(domains)
        except (CertificateError, ValueError) as error:
            raise AuthorityError("odd_answer", "What the authority gave is no certificate of ours.") from error
        if not is_for_all:
            raise AuthorityError("odd_answer", "The certificate is for other names than were ordered.")
        leaf = pair.chain[0]
        begins, ends = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
        return Certificate(
            directory=directory,
            domains=domains,
            chain=chain,
            key=key,
            not_before=begins,
            not_after=ends,
            renew_at=renewal_of(begins, ends, self._settings.renew_before_days),
        )

    async def _question(self, verb: str, directory: str) -> Ask:
        settings, now = self._settings, self._parts.clock.now()
        fresh = new_key()
        key = await self._parts.database.write(lambda c: rows.add_account_key(c, directory, fresh, now))
        return Ask(
            verb=verb,
            directory=directory,
            ca_file=settings.ca_file,
            seconds=settings.order_timeout_seconds,
            account_key=key,
            email=settings.email,
            agrees=settings.agree_to_terms,
            external_id=settings.external_account_id,
            external_key=settings.external_account_key,
        )

    async def _show(self, shown: list[str], answers: dict[str, str]) -> None:
        now = self._parts.clock.now()
        shown += answers
        await self._parts.database.write(
            lambda connection: rows.put_challenges(connection, answers, now, now + _TOKEN_SECONDS)
        )

    # --- what became of it ---

    async def _save(self, issued: Certificate) -> None:
        serial = f"{x509.load_pem_x509_certificate(issued.chain.encode()).serial_number:x}"
        event = CertificateRenewed(
            at=self._parts.clock.now(),
            domains=list(issued.domains),
            authority=issued.directory,
            serial=serial,
            expires_at=issued.not_after,
        )

        def save(connection: Connection) -> None:
            rows.put_certificate(connection, issued)
            self._parts.outbox.publish(connection, event)

        await self._parts.database.write(save)
        self._unsaved = None

    async def _failed(self, error: AuthorityError) -> Attempts:
        self._orders["failed"] += 1
        now, settings = self._parts.clock.now(), self._settings
        before, found = await self._parts.database.read(lambda c: (rows.attempts(c), rows.certificate(c)))
        wish = float(error.retry_after_seconds or 0)
        outcome = after_failure(before, error.problem, now, wish, random.random())  # noqa: S311  # spreads, hides nothing
        domains = list(settings.domains)
        events: list[Event] = [
            CertificateFailed(
                at=now,
                domains=domains,
                authority=settings.directory,
                problem=error.problem,
                failures=outcome.failures,
                retry_at=outcome.retry_at,
            )
        ]
        if found is not None and found.is_endangered(now):
            events.append(
                CertificateNearlyExpired(at=now, domains=domains, expires_at=found.not_after, problem=error.problem)
            )
        await self._quietly(lambda connection: self._parts.outbox.publish(connection, *events))
        return outcome

    async def _release(self, outcome: Attempts | None) -> None:
        self._look_at = 0.0
        await self._quietly(lambda connection: rows.release(connection, self._parts.owner, outcome))

    async def _quietly(self, work: Callable[[Connection], object]) -> None:
        """Write what may be missing: a lease ends and a token is forgotten by itself."""
        try:
            await self._parts.database.write(work)
        except UnavailableError as error:
            _log.warning("certificate_order_not_written", code=error.code)

    # --- when ---

    async def _asked_when(self, found: Certificate, now: float) -> Certificate:
        """The certificate with the time of its renewal brought up to date, if the authority is to be asked again."""
        if self._settings.renew_before_days or now < found.look_at or now >= found.renew_at:
            return found
        renew_at, look_at = found.renew_at, now + _LATEST_LOOK_SECONDS
        try:
            told = await ask_authority(
                msgspec.structs.replace(await self._question("suggest", found.directory), certificate=found.chain)
            )
        except AuthorityError as error:
            _log.info("certificate_renewal_not_suggested", problem=error.problem)
        else:
            if isinstance(told, Suggested):
                look_at = min(max(told.look_at, now + _SOONEST_LOOK_SECONDS), look_at)
                renew_at = min(told.renew_at, found.not_after) or renew_at
        await self._parts.database.write(lambda connection: rows.plan_renewal(connection, renew_at, look_at))
        return replace(found, renew_at=renew_at, look_at=look_at)
