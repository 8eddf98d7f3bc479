"""ENCRYPTION AT REST AND IN TRANSIT.

Empty as yet: sealed columns, the key ring, rotation, shredding, sealed backups and TLS will live here.
"""
