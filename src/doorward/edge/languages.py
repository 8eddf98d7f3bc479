"""Which language a visitor reads, and the words in it.

English is the source. Catalogs lie in `console/translations/<language>/LC_MESSAGES/doorward.mo` and are read by the
standard library's gettext; `doorward.po` beside each is what a translator edits (see `console/translations/README.md`).
"""

import functools
import gettext
from collections.abc import Mapping
from pathlib import Path
from typing import Final

CONSOLE: Final = Path(__file__).parent / "console"
TRANSLATIONS: Final = CONSOLE / "translations"
DOMAIN: Final = "doorward"
DEFAULT: Final = "en"
COOKIE: Final = "doorward_language"

LANGUAGES: Final[Mapping[str, tuple[str, str]]] = {"en": ("en", "English"), "zh_Hans": ("zh-Hans", "简体中文")}
"""Language code -> BCP 47 tag for `lang`, and its name in itself."""

_LONGEST_HEADER: Final = 512
_MOST_RANGES: Final = 16


@functools.cache
def catalog(language: str) -> gettext.NullTranslations:
    """The words of a language; English for one that we don't have."""
    if language == DEFAULT or language not in LANGUAGES:
        return gettext.NullTranslations()
    return gettext.translation(DOMAIN, TRANSLATIONS, [language])


def tag_of(language: str) -> str:
    """The BCP 47 tag of a language code."""
    return LANGUAGES.get(language, LANGUAGES[DEFAULT])[0]


def negotiate(accept_language: str, chosen: str = "") -> str:
    """The language to answer in: the visitor's own choice (a cookie), else the best of `Accept-Language`.

    RFC 9110 section 12.5.4. Of ranges with equal weight the first wins. Every kind of Chinese gets Simplified Chinese,
    the nearest that we have.
    """
    if chosen in LANGUAGES:
        return chosen
    best, best_weight = DEFAULT, 0.0
    for part in accept_language[:_LONGEST_HEADER].split(",")[:_MOST_RANGES]:
        name, _, parameters = part.strip().partition(";")
        language, weight = _known(name.strip().lower()), _weight(parameters)
        if language and weight > best_weight:
            best, best_weight = language, weight
    return best


def _known(name: str) -> str:
    primary = name.split("-", 1)[0]
    return {"zh": "zh_Hans", "en": "en", "*": DEFAULT}.get(primary, "")


def _weight(parameters: str) -> float:
    key, _, text = parameters.strip().partition("=")
    if key.strip().lower() != "q":
        return 1.0
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0
