"""Settings of the AI service behind the door, of probation's allowance, and of the built-in simulator."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class UpstreamSettings(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Where the AI service is, how long to wait for it, and how much of it a lane may use."""

    url: Annotated[
        str,
        Meta(
            max_length=500,
            description="Base address of an OpenAI-compatible service, e.g. `http://127.0.0.1:8000/v1`. Empty: the"
            " built-in simulator.",
        ),
    ] = ""
    api_key: Annotated[
        str,
        Meta(
            max_length=500,
            description="Key that Doorward shows to the AI service in place of the caller's. Empty: none is sent.",
            extra={"secret": True},
        ),
    ] = ""
    ca_file: Annotated[
        str,
        Meta(
            max_length=1_000,
            description="PEM file of the authorities that vouch for the AI service, if `url` is https. Empty: the"
            " system's.",
        ),
    ] = ""
    client_certificate: Annotated[
        str,
        Meta(
            max_length=1_000,
            description="PEM file of the certificate that Doorward shows to the AI service (mutual TLS). Empty: none.",
        ),
    ] = ""
    client_key: Annotated[
        str, Meta(max_length=1_000, description="PEM file of its key. Empty: it is in the certificate's file.")
    ] = ""
    connect_timeout_seconds: Annotated[
        float, Meta(ge=0.1, le=120, description="Seconds to wait for a connection to the AI service.")
    ] = 5.0
    first_byte_timeout_seconds: Annotated[
        float, Meta(ge=1, le=3_600, description="Seconds to wait for the first byte of an answer.")
    ] = 120.0
    idle_timeout_seconds: Annotated[
        float, Meta(ge=1, le=3_600, description="Seconds between two pieces of an answer after which it is given up.")
    ] = 60.0
    max_connections: Annotated[
        int, Meta(ge=1, le=65_535, description="Connections to the AI service at once, from one process.")
    ] = 1_024
    max_body_bytes: Annotated[
        int, Meta(ge=1_024, le=1_073_741_824, description="Bytes of one relayed request's body.")
    ] = 16_777_216
    probation_tokens_per_day: Annotated[
        int, Meta(ge=0, le=1_000_000_000, description="Tokens that an account on probation may use in a UTC day.")
    ] = 20_000
    probation_requests_per_minute: Annotated[
        int, Meta(ge=1, le=100_000, description="Requests that an account on probation may start in a minute.")
    ] = 20
    probation_concurrent_requests: Annotated[
        int, Meta(ge=1, le=10_000, description="Requests that an account on probation may have running at once.")
    ] = 2
    existing_tokens_per_day: Annotated[
        int,
        Meta(ge=0, le=1_000_000_000_000, description="Tokens that any other account may use in a UTC day; 0: no cap."),
    ] = 0
    existing_concurrent_requests: Annotated[
        int, Meta(ge=1, le=100_000, description="Requests that any other account may have running at once.")
    ] = 64
    reserved_tokens_per_request: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Tokens held back from a capped allowance for each running request, until its real use is"
            " known.",
        ),
    ] = 500
    flush_seconds: Annotated[
        float, Meta(ge=0.05, le=60, description="Seconds between two writes of usage; what a killed process may lose.")
    ] = 1.0
    usage_retention_days: Annotated[int, Meta(ge=2, le=3_650, description="Days that usage per account is kept.")] = 400
    health_path: Annotated[
        str,
        Meta(
            max_length=200,
            description="Path that is asked whether the AI service is there: under `url`; with a leading slash, "
            "under its origin.",
        ),
    ] = "models"
    health_interval_seconds: Annotated[
        float, Meta(ge=0.1, le=3_600, description="Seconds between two such questions.")
    ] = 5.0
    health_timeout_seconds: Annotated[
        float, Meta(ge=0.1, le=120, description="Seconds to wait for the answer to one.")
    ] = 5.0
    health_failures_to_leave: Annotated[
        int, Meta(ge=1, le=1_000, description="Failures in a row after which the AI service counts as away.")
    ] = 3
    health_successes_to_return: Annotated[
        int, Meta(ge=1, le=1_000, description="Successes in a row after which it counts as back.")
    ] = 2
    recording: Annotated[
        Literal["off", "on"],
        Meta(
            description="Whether prompts and answers are kept: redacted, sealed for each person, and only for a while."
            " People are told on their account page. `off`: nothing of them is stored anywhere."
        ),
    ] = "off"
    recording_hours: Annotated[int, Meta(ge=1, le=8_760, description="Hours after which a recording is deleted.")] = 72
    recording_share: Annotated[
        float, Meta(ge=0, le=1, description="Share of the exchanges that is recorded; which ones is chance.")
    ] = 1.0
    recording_max_bytes: Annotated[
        int,
        Meta(ge=256, le=1_048_576, description="Bytes kept of one prompt, and of one answer; the rest is not."),
    ] = 32_768
    recording_memory_bytes: Annotated[
        int,
        Meta(
            ge=1_048_576,
            le=17_179_869_184,
            description="Bytes of recordings that one process holds before they are written; past it exchanges are"
            " not recorded, and counted.",
        ),
    ] = 67_108_864
    recording_redacts: Annotated[
        bool,
        Meta(
            description="Whether mail addresses, telephone, card and account numbers, keys, tokens and IP addresses"
            " are taken out first."
        ),
    ] = True
    simulator_time_to_first_token_ms: Annotated[
        int, Meta(ge=0, le=600_000, description="Built-in simulator: milliseconds before an answer's first token.")
    ] = 150
    simulator_tokens_per_second: Annotated[
        float, Meta(gt=0, le=1_000_000, description="Built-in simulator: tokens a second in each stream.")
    ] = 40.0
    simulator_slots: Annotated[
        int, Meta(ge=1, le=100_000, description="Built-in simulator: answers worked on at once.")
    ] = 64
    simulator_queue: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Built-in simulator: requests that may wait for a slot.")
    ] = 256
    simulator_full_status: Annotated[
        Literal[429, 503], Meta(description="Built-in simulator: HTTP status when the queue is full.")
    ] = 429
    simulator_faults: Annotated[
        tuple[Annotated[str, Meta(max_length=80)], ...],
        Meta(max_length=16, description="Built-in simulator: faults such as `error:0.05` or `stall:0.1@30-60`."),
    ] = ()
    simulator_seed: Annotated[
        int, Meta(ge=0, le=4_294_967_295, description="Built-in simulator: seed of its texts and faults.")
    ] = 1

    def __repr__(self) -> str:
        """Without values: they hold a key."""
        return "UpstreamSettings(…)"
