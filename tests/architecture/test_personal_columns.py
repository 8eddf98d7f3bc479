"""No personal value lies in the rows in plain: every column that could hold one is sealed, or listed with a reason."""

import re

import pytest
from sqlalchemy import Column, LargeBinary, MetaData, String, Table, Text

from doorward.migrations.rooms import import_tables
from doorward.stores.schema import METADATA
from doorward.stores.sealed import Sealed

import_tables()

IDENTIFIER = "an identifier: random, or a keyed digest"
STATE = "one of a few words of the program"
LANGUAGE = "the page language: one of the translations, not what the browser sent"
BLIND_INDEX = "a blind index: equal values are equal, nothing else can be told (docs/explanation/sealed-columns.md)"
RANDOM_DIGEST = "SHA-256 of 32 random bytes: nothing that could be guessed"
SEALED_BY_THE_RING = "sealed by the key ring itself"
FACT = "a fact of ids, states and counts (hall/events.py), which cohort keys are the only free text of"

PLAIN = {
    "accounts.account_id": IDENTIFIER,
    "accounts.mailbox": BLIND_INDEX,
    "accounts.lane": STATE,
    "accounts.role": STATE,
    "accounts.language": LANGUAGE,
    "accounts.attempt_id": IDENTIFIER,
    "api_keys.key_id": IDENTIFIER,
    "api_keys.account_id": IDENTIFIER,
    "api_keys.digest": RANDOM_DIGEST,
    "api_keys.hint": "the first letters of a random key, to recognise it by; the rest has more than 128 bits",
    "api_keys.scopes": STATE,
    "devices.device_id": IDENTIFIER,
    "devices.account_id": IDENTIFIER,
    "gate_attempts.attempt_id": IDENTIFIER,
    "gate_attempts.subject": IDENTIFIER,
    "gate_attempts.receipt": STATE,
    "gate_attempts.action": STATE,
    "gate_attempts.reason": STATE,
    "gate_baselines.name": STATE,
    "gate_baselines.subject": IDENTIFIER,
    "gate_places.place_id": IDENTIFIER,
    "gate_places.subject": IDENTIFIER,
    "gate_places.language": LANGUAGE,
    "gate_places.mailbox": BLIND_INDEX,
    "gate_places.state": STATE,
    "gate_posture_changes.cohort": "names a group under attack (a mail domain, a network), as the console shows it",
    "gate_posture_changes.from_level": STATE,
    "gate_posture_changes.to_level": STATE,
    "gate_posture_changes.reason": "what the detector measured, or the operator typed, about a group",
    "gate_posture_changes.evidence": "counts and shares of a group",
    "gate_posture_changes.set_by": IDENTIFIER,
    "letters.letter_id": IDENTIFIER,
    "letters.person": IDENTIFIER,
    "letters.recipient_index": BLIND_INDEX,
    "letters.state": STATE,
    "letters.last_error": "a code of SMTP or of the program, never the server's words",
    "mail_allowance.mailbox": BLIND_INDEX,
    "outbox_cursors.handler": STATE,
    "outbox_cursors.leased_by": IDENTIFIER,
    "outbox_events.event_id": IDENTIFIER,
    "outbox_events.name": STATE,
    "outbox_events.payload": FACT,
    "outbox_retries.event_id": IDENTIFIER,
    "outbox_retries.handler": STATE,
    "outbox_retries.name": STATE,
    "outbox_retries.payload": FACT,
    "pending.pending_id": IDENTIFIER,
    "pending.purpose": STATE,
    "pending.mailbox": BLIND_INDEX,
    "pending.subject": IDENTIFIER,
    "pending.account_id": IDENTIFIER,
    "pending.attempt_id": IDENTIFIER,
    "pending.language": LANGUAGE,
    "pending.device_id": IDENTIFIER,
    "pending.secret": "a digest keyed by the master secret, of a code that lives fifteen minutes, or of a random link",
    "sessions.session_id": IDENTIFIER,
    "sessions.account_id": IDENTIFIER,
    "sessions.digest": RANDOM_DIGEST,
    "sessions.device_id": IDENTIFIER,
    "stores_scrubs.table_name": STATE,
    "stores_scrubs.state": STATE,
    "upstream_recordings.recording_id": IDENTIFIER,
    "upstream_recordings.account_id": IDENTIFIER,
    "upstream_recordings.request_id": IDENTIFIER,
    "upstream_recordings.path": "a path of the AI service's API, without its query",
    "upstream_recordings.outcome": STATE,
    "upstream_recordings.rules": STATE,
    "upstream_usage.account_id": IDENTIFIER,
    "upstream_usage.lane": STATE,
    "vault_acme_accounts.directory": "address of the authority, as in the configuration",
    "vault_acme_accounts.subject": IDENTIFIER,
    "vault_acme_challenges.token": "the authority gave it, and asks for it in public",
    "vault_acme_challenges.answer": "the authority reads it in public",
    "vault_backup_leases.name": STATE,
    "vault_backup_leases.leased_by": IDENTIFIER,
    "vault_backup_runs.run_id": IDENTIFIER,
    "vault_backup_runs.kind": STATE,
    "vault_backup_runs.node": IDENTIFIER,
    "vault_backup_runs.outcome": "a code of the program",
    "vault_backup_runs.file": "a file name that the program made of the time",
    "vault_certificate_orders.name": "a domain of this service",
    "vault_certificate_orders.leased_by": IDENTIFIER,
    "vault_certificate_orders.problem": "what the authority said about a domain of this service",
    "vault_certificates.name": "a domain of this service",
    "vault_certificates.subject": IDENTIFIER,
    "vault_certificates.directory": "address of the authority, as in the configuration",
    "vault_certificates.domains": "the domains of this service",
    "vault_certificates.chain": "shown to everybody who connects",
    "vault_data_keys.subject": IDENTIFIER,
    "vault_data_keys.wrapped": "wrapped by a key-encryption key",
    "vault_honey.name": STATE,
    "vault_honey.subject": IDENTIFIER,
    "vault_keks.sealed": SEALED_BY_THE_RING,
    "vault_keks.state": STATE,
    "vault_receipts.receipt_id": IDENTIFIER,
    "vault_receipts.document": "a signed receipt: ids, times and counts",
    "vault_rings.ring_id": IDENTIFIER,
    "vault_shreds.receipt_id": IDENTIFIER,
    "vault_shreds.subject": IDENTIFIER,
}
"""Every column of text or bytes that is not sealed, and why it need not be."""

PERSONAL_NAMES = re.compile(
    r"(^|_)(e?mail|address|ip|user_?agent|agent|label|recipient|phone|device|signals|password|seed|prompt|display)(_|$)"
)
_NAMES_OF_OTHERS = re.compile(r"_(id|index|at|digest|bytes)$")


def faults(metadata: MetaData, plain: dict[str, str]) -> list[str]:
    """The columns that break the rule."""
    found = []
    for table in metadata.sorted_tables:
        for column in table.columns:
            name = f"{table.name}.{column.name}"
            if isinstance(column.type, Sealed):
                if name in plain:
                    found.append(f"{name} is sealed and listed as plain")
                continue
            if PERSONAL_NAMES.search(column.name) and not _NAMES_OF_OTHERS.search(column.name):
                found.append(f"{name} has a personal name and is not sealed")
            if isinstance(column.type, String | LargeBinary) and not plain.get(name):
                found.append(f"{name} is plain and not listed")
    return found


def test_every_plain_column_is_listed_with_a_reason():
    assert faults(METADATA, PLAIN) == []


def test_the_list_names_no_column_that_is_gone():
    there = {f"{table.name}.{column.name}" for table in METADATA.sorted_tables for column in table.columns}
    assert PLAIN.keys() - there == set()


def test_every_sealed_column_names_its_row_and_its_person():
    for table in METADATA.sorted_tables:
        unique = {column.name for column in table.columns if column.unique} | set(table.primary_key.columns.keys())
        for column in table.columns:
            if isinstance(column.type, Sealed):
                assert column.type.row in unique, column
                assert column.type.subject in table.columns, column
                assert not column.nullable, column


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (Column("note", Text), "not listed"),
        (Column("payload", LargeBinary), "not listed"),
        (Column("email", Text), "personal name"),
        (Column("ip", LargeBinary), "personal name"),
        (Column("user_agent", String(200)), "personal name"),
        (Column("device_label", Text), "personal name"),
    ],
)
def test_a_new_plain_column_is_found(column, words):
    metadata = MetaData()
    Table("guests", metadata, column)
    assert any(words in fault for fault in faults(metadata, {}))
    assert faults(metadata, {f"guests.{column.name}": "why not"}) == [] or words == "personal name"
