"""KEEP THE DOOR: who may sign up now.

An arrival is sensed, decided on by a pure function, and acted upon; the detector watches what comes in and moves
the posture of the cohort that attacks, never of everybody at once and never by volume alone.
"""
