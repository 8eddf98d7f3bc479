"""Which scope of an API key opens which of the AI service's addresses. Pure.

`*` opens all. The named scopes open their own addresses and the list of models; an address that is none of theirs, or
that is written in a roundabout way (dot segments, escapes), needs `*`: nobody knows what the AI service makes of it.
"""

from typing import Final

ALL: Final = "*"

_OPENED: Final = {
    "chat/completions": "chat",
    "completions": "chat",
    "responses": "chat",
    "messages": "chat",
    "embeddings": "embeddings",
    "images": "images",
    "models": "models",
}
_NAMED: Final = frozenset(_OPENED.values())


def permits(scopes: frozenset[str], path: str) -> bool:
    """Whether one of the scopes opens `path` (which begins with `/v1/`; a query does not matter)."""
    if ALL in scopes:
        return True
    plain = path.partition("?")[0].removeprefix("/v1/")
    if any(sign in f"/{plain}/" for sign in ("%", "//", "/./", "/../", "\\", ";")):
        return False
    needed = next((scope for start, scope in _OPENED.items() if f"{plain}/".startswith(f"{start}/")), "")
    return needed in scopes or (needed == "models" and not _NAMED.isdisjoint(scopes))
