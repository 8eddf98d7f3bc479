"""What an operator may set about accounts. Every default is safe to keep."""

from typing import Annotated

import msgspec
from msgspec import Meta


class AccountsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[accounts]`: sign-up, log-in, sessions and API keys."""

    service_name: Annotated[
        str, Meta(min_length=1, max_length=60, description="What letters call the service; no password may rest on it.")
    ] = "Doorward"

    code_lifetime_seconds: Annotated[
        int, Meta(ge=60, le=3600, description="How long a mailed code or link can be used.")
    ] = 900
    code_tries: Annotated[
        int, Meta(ge=1, le=10, description="Wrong codes before a sign-up or log-in must start anew.")
    ] = 5

    session_lifetime_days: Annotated[
        int, Meta(ge=1, le=400, description="A session ends this long after log-in, however much it is used.")
    ] = 30
    session_idle_days: Annotated[int, Meta(ge=1, le=400, description="A session ends when unused for this long.")] = 14
    sessions_per_account: Annotated[
        int, Meta(ge=1, le=1000, description="Live sessions of one account; the one unused longest gives way.")
    ] = 50
    device_lifetime_days: Annotated[
        int,
        Meta(ge=1, le=400, description="How long a device that logged in is known (browsers cap cookies at 400 days)."),
    ] = 400
    keys_per_account: Annotated[int, Meta(ge=1, le=1000, description="Live API keys of one account.")] = 50
    admin_link_lifetime_seconds: Annotated[
        int, Meta(ge=60, le=86_400, description="How long the one-time link of `doorward admin link` can be used.")
    ] = 900

    password_minimum_characters: Annotated[
        int,
        Meta(ge=15, le=64, description="Shortest password, in Unicode characters (NIST SP 800-63B-4: at least 15)."),
    ] = 15
    hash_memory_kib: Annotated[int, Meta(ge=19_456, le=1_048_576, description="Argon2id memory, in KiB.")] = 19_456
    hash_passes: Annotated[int, Meta(ge=2, le=10, description="Argon2id passes over the memory.")] = 2
    hash_threads: Annotated[
        int, Meta(ge=0, le=64, description="Threads that hash passwords, at the lowest priority; 0: one per processor.")
    ] = 0
    hash_queue: Annotated[
        int, Meta(ge=1, le=4096, description="Passwords waiting to be hashed; more are told to come back (503).")
    ] = 64

    guesses_per_hour: Annotated[
        int,
        Meta(ge=1, le=1000, description="Passwords that strangers' devices together may try on one account an hour."),
    ] = 10
    device_tries_per_hour: Annotated[
        int, Meta(ge=1, le=1000, description="Log-in attempts an hour from one known device.")
    ] = 30

    first_hour_letters: Annotated[
        int, Meta(ge=1, le=10, description="Letters to an unconfirmed address in the first hour (later: one a day).")
    ] = 3
    unconfirmed_letters: Annotated[
        int, Meta(ge=1, le=20, description="Letters ever sent to an address that never confirmed.")
    ] = 5
    confirmed_letters_per_day: Annotated[
        int, Meta(ge=1, le=100, description="Letters a day that strangers can cause to a confirmed address.")
    ] = 10
    brake_minimum_letters: Annotated[
        int,
        Meta(
            ge=10,
            le=1_000_000,
            description="Letters in ten minutes below which the share of unconfirmed ones means nothing.",
        ),
    ] = 100
    brake_unconfirmed_share: Annotated[
        float, Meta(gt=0, le=1, description="Share of letters that nobody confirms at which the brake may close.")
    ] = 0.7
    braked_letters_per_minute: Annotated[
        int, Meta(ge=1, le=10_000, description="Letters a minute to unconfirmed addresses while the brake is on.")
    ] = 30

    snapshot_limit: Annotated[
        int, Meta(ge=1_000, le=50_000_000, description="Sessions and keys kept in memory (about 0.5 KB each).")
    ] = 500_000
    recalls_per_second: Annotated[
        int, Meta(ge=1, le=100_000, description="Look-ups a second for credentials that the memory does not know.")
    ] = 500
