"""The API's description: `/openapi.json` (OpenAPI 3.1) for programs, `/docs/api` for people, from the same list."""

from collections import defaultdict
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from doorward.edge.api_operations import OPERATIONS, STATUS_WORDS, Operation
from doorward.edge.api_schemas import SCHEMAS, ref
from doorward.edge.desk import FrontDesk
from doorward.edge.view import Front

_COMMON_ERRORS: Final = {
    "anybody": ("400", "403", "429", "503"),
    "member": ("400", "401", "403", "429", "503"),
    "admin": ("400", "401", "403", "429", "503"),
}


class ApiDescription:
    """Serves the description in both forms."""

    def __init__(self, front: Front, desk: FrontDesk) -> None:
        self._front = front
        self._desk = desk
        self._document = document(front)

    def routes(self) -> list[Route]:
        """The two addresses."""
        return [
            Route("/openapi.json", self._json, methods=["GET"]),
            Route("/docs/api", self._page, methods=["GET"]),
        ]

    async def _json(self, _request: Request) -> Response:
        return JSONResponse(self._document, headers={"Cache-Control": "public, max-age=300"})

    async def _page(self, request: Request) -> Response:
        sections: dict[str, list[dict[str, object]]] = defaultdict(list)
        for operation in OPERATIONS:
            sections[operation.tag].append(_entry(operation))
        return self._desk.page(
            request, "api.html", sections=dict(sections), base_url=self._front.public_url.rstrip("/")
        )


def document(front: Front) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for operation in OPERATIONS:
        paths[operation.path][operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Doorward",
            "version": front.version,
            "summary": "Keeps an AI service open to its people while it is under attack.",
            "description": "The AI service itself answers under `/v1/` as OpenAI's API does, and is described there.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": front.public_url.rstrip("/")}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in OPERATIONS)],
        "paths": dict(paths),
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key or a session token."},
                "cookie": {"type": "apiKey", "in": "cookie", "name": front.cookie_name},
            },
        },
    }


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": _operation_id(operation),
        "tags": [operation.tag],
        "security": [] if operation.caller == "anybody" else [{"bearer": []}, {"cookie": []}],
        "responses": _responses(operation),
    }
    parameters = _parameters(operation)
    if parameters:
        described["parameters"] = parameters
    if operation.body:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": ref(operation.body)}}}
    return described


def _operation_id(operation: Operation) -> str:
    words = operation.path.removeprefix("/api/v1").replace("{", "").replace("}", "").replace("-", "_")
    return operation.method.lower() + words.replace("/", "_")


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    in_path = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    in_query = [
        {"name": name, "in": "query", "description": words, "schema": {"type": "string"}}
        for name, words in operation.query
    ]
    return in_path + in_query


def _responses(operation: Operation) -> dict[str, Any]:
    answers = {str(status): _response(status, shape) for status, shape in operation.answers.items()}
    errors = {
        status: {"description": "A problem.", "content": {"application/problem+json": {"schema": ref("Problem")}}}
        for status in _COMMON_ERRORS[operation.caller]
    }
    return {**errors, **answers}


def _response(status: int, shape: str) -> dict[str, Any]:
    response: dict[str, Any] = {"description": STATUS_WORDS[status]}
    if shape:
        kind = "application/problem+json" if shape == "Problem" else "application/json"
        response["content"] = {kind: {"schema": ref(shape)}}
    return response


def _entry(operation: Operation) -> dict[str, object]:
    """An operation as its page shows it."""
    return {
        "id": _operation_id(operation),
        "method": operation.method,
        "path": operation.path,
        "summary": operation.summary,
        "caller": operation.caller,
        "fields": _fields(operation.body),
        "answers": [(status, STATUS_WORDS[status], _fields(shape)) for status, shape in operation.answers.items()],
        "query": operation.query,
    }


def _fields(shape: str) -> list[tuple[str, bool, str]]:
    """Name, whether it is always there, and the words of each member of a shape."""
    if not shape or shape == "Problem":
        return []
    parts = SCHEMAS[shape].get("allOf", [SCHEMAS[shape]])
    return [field for part in parts for field in _members(_followed(part))]


def _members(schema: dict[str, Any]) -> list[tuple[str, bool, str]]:
    required = schema.get("required", [])
    return [
        (name, name in required, member.get("description", "")) for name, member in schema.get("properties", {}).items()
    ]


def _followed(schema: dict[str, Any]) -> dict[str, Any]:
    return SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
