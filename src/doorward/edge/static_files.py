"""The few files that pages refer to, under addresses that change when any of them changes.

One digest names the whole set: `/static/<digest>/style.css`. So an ES module may import its neighbour by a relative
path and still get the neighbour of its own release. The set is read once, at start; nothing is looked up on disk
by a name that came from outside.
"""

import hashlib
import mimetypes
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doorward.edge.errors import NoSuchPageError
from doorward.edge.languages import CONSOLE

DIRECTORY: Final = CONSOLE / "static"
_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
_FOREVER: Final = "public, max-age=31536000, immutable"
_ASK_EACH_TIME: Final = "public, no-cache"


class StaticFiles:
    """The files of one directory, held in memory."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._files = {
            path.relative_to(directory).as_posix(): path.read_bytes()
            for path in sorted(directory.rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }
        together = hashlib.blake2b(digest_size=8)
        for name, content in self._files.items():
            together.update(name.encode() + b"\0" + hashlib.blake2b(content).digest())
        self.digest = together.hexdigest()

    def url(self, name: str) -> str:
        """The address of a file, for templates.

        Raises:
            KeyError: there is no such file, a mistake in a template.
        """
        if name not in self._files:
            raise KeyError(f"no static file named {name!r}")
        return f"/static/{self.digest}/{name}"

    def routes(self) -> list[Route]:
        """One route for all files."""
        return [
            Route("/static/{digest}/{name:path}", self._serve, methods=["GET"]),
            Route("/favicon.ico", self._favicon, methods=["GET"]),
        ]

    async def _serve(self, request: Request) -> Response:
        digest = request.path_params["digest"]
        return self._answer(request, request.path_params["name"], _FOREVER if digest == self.digest else _ASK_EACH_TIME)

    async def _favicon(self, request: Request) -> Response:
        return self._answer(request, "mark.svg", "public, max-age=86400")

    def _answer(self, request: Request, name: str, cache: str) -> Response:
        content = self._files.get(name)
        if content is None:
            raise NoSuchPageError
        headers = {"Cache-Control": cache, "ETag": f'"{hashlib.blake2b(content, digest_size=8).hexdigest()}"'}
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        suffix = Path(name).suffix
        kind = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(content, headers=headers, media_type=kind)
