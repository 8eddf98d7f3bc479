"""STRONG AUTHENTICATION: who somebody is.

Sign-up with an e-mail code or a password, log-in, sessions and API keys; the snapshot of everybody who belongs, from
which the lanes are served while a database is away.
"""
