"""AUDITS AND PENETRATION TESTS, every day.

Empty as yet: controls, evidence, attacks against one's own door, findings and their report will live here.
"""
