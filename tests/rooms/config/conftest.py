"""Import typer once with its own warning silenced: it takes a name from click that click has deprecated."""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", category=DeprecationWarning, message="'click.utils")
    import typer.testing  # noqa: F401
