"""A SIMULATED AI SERVICE: speaks the OpenAI-compatible API over real HTTP, with knobs for pace, slots and faults.

Its words are made up from a seed: the same question gets the same answer. It stands in for a service in the demo, in
tests and on a laptop, never in front of people.
"""

from doorward.upstream.simulator.faults import Fault, FaultKind, parse_fault
from doorward.upstream.simulator.model import Knobs
from doorward.upstream.simulator.server import Simulator

__all__ = ["Fault", "FaultKind", "Knobs", "Simulator", "parse_fault"]
