"""What a flood of forged sign-ups costs the people who belong.

1. Existing users ask `/authorize` at a steady pace, with an API key.
2. In turns of a few seconds, 2,000 forged sign-ups a second are sent beside them, or not.
3. The figure is the median over the pairs of turns of the 99th percentile with the flood less the one without.

The server has one core to itself; the loads share the other, the measuring one at the higher priority. What the flood's
own sender delays on that core is counted against us.
"""

import sys
from statistics import median

from served import Served, figures_out, forged_signup
from steady import Steady

FLOOD_PER_SECOND = 2_000
EXISTING_PER_SECOND = 250
TURN_SECONDS = 5.0
PAIRS = 8


def main() -> None:
    """Measure and print."""
    with Served() as served:
        ask = served.authorize(served.key())
        forged = [forged_signup(number) for number in range(500)]
        existing, flood = Steady(), Steady(niceness=10)
        added, quiet, flooded, refused = [], [], [], 0
        for turn in range(PAIRS + 1):
            existing.begin(served.where, [ask], EXISTING_PER_SECOND, TURN_SECONDS)
            without = existing.result()
            flood.begin(served.where, forged, FLOOD_PER_SECOND, TURN_SECONDS + 1)
            existing.begin(served.where, [ask], EXISTING_PER_SECOND, TURN_SECONDS)
            during, floods = existing.result(), flood.result()
            if set(without.statuses) | set(during.statuses) != {200} or during.unanswered:
                raise SystemExit(f"existing users were not served: {without.statuses} {during.statuses}")
            if any(status < 400 for status in floods.statuses) or sum(floods.statuses.values()) < 0.95 * (
                FLOOD_PER_SECOND * (TURN_SECONDS + 1)
            ):
                raise SystemExit(f"the flood was not what it should be: {floods.statuses}")
            if turn:  # the first pair warms up
                added.append(during.percentile_ms(99) - without.percentile_ms(99))
                quiet.append(without.percentile_ms(99))
                flooded.append(during.percentile_ms(99))
                refused += sum(floods.statuses.values())
        existing.stop()
        flood.stop()
    detail = f"p99 {median(quiet):.2f} ms without, {median(flooded):.2f} ms with; {refused:,} refused in {PAIRS} turns."
    against = f"the same {EXISTING_PER_SECOND} requests a second without the flood, in turns"
    figures_out({"flood_existing_p99_added_ms": (round(median(added), 3), "ms", against, detail)})


if __name__ == "__main__":
    sys.exit(main())
