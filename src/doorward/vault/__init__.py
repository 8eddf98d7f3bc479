"""ENCRYPTION AT REST AND IN TRANSIT.

Every personal value is sealed under a data key of its person and opens in its own cell only; data keys are wrapped by
key-encryption keys, and those are sealed by a key ring that is never in the database. Whoever steals the database, the
backups or the logs has nothing; when a person's key is destroyed, so is everything that was kept about them.
"""
