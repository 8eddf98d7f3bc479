"""Templates: Jinja2 with autoescape, strict about names, one environment per language so that nothing is shared state.

A template's name comes from our code alone, never from a request.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from gettext import NullTranslations
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from doorward.edge.charts import chart
from doorward.edge.languages import CONSOLE, LANGUAGES, catalog

DIRECTORY: Final = CONSOLE / "templates"


class Templates:
    """Renders templates in a language."""

    def __init__(self, static_url: Callable[[str], str]) -> None:
        self._environments = {language: _environment(language, static_url) for language in LANGUAGES}

    def render(self, template: str, language: str, **values: object) -> str:
        """The text of a template, e.g. `accounts/login.html`.

        Raises:
            jinja2.TemplateError: it does not exist, or names a value that it was not given.
        """
        return self._environments[language].get_template(template).render(**values)

    def has(self, template: str) -> bool:
        """Whether there is such a template."""
        return template in self._environments["en"].list_templates()


def _environment(language: str, static_url: Callable[[str], str]) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(DIRECTORY),
        autoescape=select_autoescape(["html"], default_for_string=True),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    words = catalog(language)
    environment.install_gettext_translations(words, newstyle=True)  # type: ignore[attr-defined]
    environment.policies["ext.i18n.trimmed"] = True
    environment.globals.update(static=static_url, chart=_chart_in(words.gettext))
    environment.filters.update(
        moment=moment, day=day, told=_teller(words), prose=lambda text: prose(_teller(words)(text))
    )
    return environment


def _teller(words: NullTranslations) -> Callable[[str], str]:
    """Translates a text that was written elsewhere in our code: an error's message, an operation's summary."""
    return lambda text: words.gettext(text) if text else ""


def prose(text: str) -> Markup:
    """Text as HTML, with what stands in `backticks` as code."""
    code = Markup("<code>{}</code>")
    pieces = (code.format(piece) if place % 2 else escape(piece) for place, piece in enumerate(text.split("`")))
    return Markup("").join(pieces)


def _chart_in(words: Callable[[str], str]) -> Callable[..., Markup]:
    def drawn(kind: str, series: Sequence[tuple[str, Any]], **options: Any) -> Markup:
        return chart(kind, series, words=words, **options)

    return drawn


def moment(at: float) -> Markup:
    """Unix seconds as `<time>`, to the minute, in UTC."""
    when = datetime.fromtimestamp(at, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        when.isoformat(timespec="seconds"), f"{when:%Y-%m-%d %H:%M} UTC"
    )


def day(at: float) -> Markup:
    """Unix seconds as a `<time>` of one day, in UTC."""
    when = datetime.fromtimestamp(at, UTC)
    return Markup('<time datetime="{}">{}</time>').format(f"{when:%Y-%m-%d}", escape(f"{when:%Y-%m-%d}"))
