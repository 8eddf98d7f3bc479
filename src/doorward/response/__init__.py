"""INCIDENT PLANS, REGULARLY TESTED.

Empty as yet: playbooks, incidents, drills, legal clocks and the status page will live here.
"""
