"""Doorward keeps an AI service open to its people while it is under attack."""

__version__ = "0.1.0"
