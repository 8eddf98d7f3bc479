"""WHAT HAPPENED, PROVABLY.

Empty as yet: the append-only Merkle log of the house's events, its checkpoints and its verifier will live here.
"""
