"""Backups: sealed copies of the rows, and the proof that they can be brought back."""
