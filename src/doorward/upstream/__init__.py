"""THE AI SERVICE BEHIND THE DOOR.

Relays `/v1/*` byte for byte, keeps probation within its allowance, watches the service's health, and brings a
simulator of one.
"""
