"""CONFIGURATION: one TOML file and the environment, checked as a whole before anything starts.

Sections belong to rooms (`settings.py` of each); this package reads, checks, explains and shows them.
"""

from doorward.config.describe import explain, schema, show
from doorward.config.loading import load
from doorward.config.mistakes import ConfigError, Mistake
from doorward.config.settings import Config, ServerSettings

__all__ = ["Config", "ConfigError", "Mistake", "ServerSettings", "explain", "load", "schema", "show"]
