"""The gate's settings: the `[gate]` table of the configuration file."""

from typing import Annotated

import msgspec

Meta = msgspec.Meta


class GateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the door is kept. Times are in seconds; prices are upper bounds of the counter to be found."""

    ticket_lifetime_seconds: Annotated[
        int, Meta(ge=60, le=86_400, description="How long a sign-up form may lie open before it must be loaded again.")
    ] = 3_600
    proof_iterations: Annotated[
        int, Meta(ge=10, le=10_000, description="PBKDF2 iterations of one try. Minting a challenge costs one try.")
    ] = 100
    price_open: Annotated[
        int, Meta(ge=1, le=4_000, description="Price while nothing is wrong: the solver needs half of it on average.")
    ] = 200
    price_careful: Annotated[int, Meta(ge=1, le=4_000, description="Price for a cohort under suspicion.")] = 1_000
    price_probation: Annotated[
        int, Meta(ge=1, le=4_000, description="Price for a convicted cohort. 4,000 tries are 3 s of an old phone.")
    ] = 1_000
    mail_links_per_minute: Annotated[
        float, Meta(gt=0, le=60_000, description="Sign-ups without a proof (no JavaScript) per minute, all together.")
    ] = 60.0
    mail_links_per_network_per_hour: Annotated[
        float, Meta(gt=0, le=3_600, description="Sign-ups without a proof per hour from one /24 or /48.")
    ] = 6.0
    fast_window_seconds: Annotated[
        int, Meta(ge=5, le=120, description="The short window of attempts that the detector looks at all the time.")
    ] = 20
    slow_window_seconds: Annotated[
        int, Meta(ge=60, le=3_600, description="The long window, for attacks that come slowly.")
    ] = 300
    window_attempts: Annotated[
        int, Meta(ge=100, le=20_000, description="Most attempts kept in the windows; the oldest go first.")
    ] = 2_000
    suspicion_nats: Annotated[
        float, Meta(ge=3, le=100, description="Evidence for one kind of behaviour that makes a cohort dearer.")
    ] = 9.0
    conviction_nats: Annotated[
        float, Meta(ge=6, le=200, description="Evidence over at least two kinds that puts a cohort on probation.")
    ] = 16.0
    renewal_share: Annotated[
        float, Meta(gt=0, le=1, description="Share of the threshold at which a tightened cohort is held (hysteresis).")
    ] = 0.5
    people_share_limit: Annotated[
        float, Meta(gt=0, le=0.2, description="Largest share of people that one conviction may put on probation.")
    ] = 0.01
    cohort_limit: Annotated[
        int, Meta(ge=1, le=256, description="Most cohorts tightened at once; beyond it everybody pays more.")
    ] = 48
    hold_seconds: Annotated[
        int, Meta(ge=2, le=3_600, description="How long a tightening lasts unless evidence renews it.")
    ] = 60
    dwell_seconds: Annotated[
        int, Meta(ge=1, le=3_600, description="Shortest time between two changes of one cohort by the detector.")
    ] = 5
    incident_memory_seconds: Annotated[
        int, Meta(ge=10, le=86_400, description="A cohort tightened again within this time is held eight times longer.")
    ] = 3_600
    longest_hold_seconds: Annotated[
        int, Meta(ge=60, le=604_800, description="Longest expiry that a person, a playbook or the detector may set.")
    ] = 86_400
    baseline_quarantine_seconds: Annotated[
        float, Meta(ge=0, le=604_800, description="How long an account must be in good standing before it teaches.")
    ] = 600.0
    baseline_learned_per_hour: Annotated[
        int, Meta(ge=10, le=1_000_000, description="Most accounts per hour that the baseline learns from.")
    ] = 2_000
    baseline_half_life_days: Annotated[
        float, Meta(ge=1, le=365, description="Age at which what the baseline has learned counts half.")
    ] = 14.0
    invites_per_minute: Annotated[
        float, Meta(gt=0, le=6_000, description="People invited from the wait-list per minute.")
    ] = 30.0
    invitation_lifetime_days: Annotated[int, Meta(ge=1, le=30, description="How long an invitation is good.")] = 7
    place_lifetime_days: Annotated[
        int, Meta(ge=1, le=365, description="After this a place on the wait-list, and its address, are deleted.")
    ] = 30
    attempt_lifetime_days: Annotated[
        int, Meta(ge=1, le=90, description="After this the recorded signals of an attempt are deleted.")
    ] = 7
    probation_seconds: Annotated[
        int, Meta(ge=0, le=7_776_000, description="Shortest time on probation before good behaviour promotes.")
    ] = 86_400
    probation_requests: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Served requests that show an account is used as people use it.")
    ] = 5
    probation_refused_share: Annotated[
        float, Meta(ge=0, le=1, description="Largest share of refused requests that still counts as good behaviour.")
    ] = 0.2
    probation_active_days: Annotated[
        int, Meta(ge=0, le=90, description="Days with at least one served request before promotion.")
    ] = 2
