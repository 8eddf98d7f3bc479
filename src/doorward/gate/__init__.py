"""KEEP THE DOOR: who may sign up now.

An arrival is sensed, decided on by a pure function, and acted upon; the detector watches what comes in and moves
the posture of the cohort that attacks, never of everybody at once and never by volume alone.

Read the files in the order of a request: `sense`, `decide`, `act`; then the way back: `detect`, `posture`, `cohorts`;
then what a visitor meets: `challenge`, `till`, `waitlist`, `probation`.
"""

from doorward.gate.book import Lever
from doorward.gate.model import Level
from doorward.gate.parts import GateParts
from doorward.gate.probation import Caretaker
from doorward.gate.service import Gate
from doorward.gate.settings import GateSettings

__all__ = ["Caretaker", "Gate", "GateParts", "GateSettings", "Level", "Lever"]
