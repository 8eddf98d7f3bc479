"""THE OTHER SIDE: crowds of simulated people and attackers that talk to a Doorward over HTTP only.

Scenarios are data files; a seeded crowd is a simulation and every report says so.
"""
