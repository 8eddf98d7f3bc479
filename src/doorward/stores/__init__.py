"""Where things are kept: rows, counters, the outbox of events and the queue of mails.

One code path for one machine (SQLite, memory) and for many (PostgreSQL, Valkey or Redis), chosen by URL.
"""
