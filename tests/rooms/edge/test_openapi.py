"""The description of the API: whole, true to the router, and true to what is answered."""

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
import schemathesis

from doorward.accounts.model import Visitor
from doorward.edge.api_operations import OPERATIONS, STATUS_WORDS
from doorward.edge.api_schemas import SCHEMAS
from doorward.edge.app import build_app, build_letters
from doorward.edge.openapi import document
from doorward.edge.server import build_street, build_view
from doorward.edge.view import Front
from doorward.house import House

DOCUMENT = document(Front(version="1"))
JSON = {"content-type": "application/json"}


@pytest.fixture
async def house_client(client: Any) -> AsyncIterator[tuple[House, Any]]:
    house = await House.in_memory(build_letters())
    yield house, type(client)(build_app(build_view(house, lambda: True, build_street(house))))
    await house.close()


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if "$ref" in value else set()
        return own.union(*(references(inner) for inner in value.values()))
    return set().union(*(references(inner) for inner in value)) if isinstance(value, list) else set()


def test_every_reference_leads_somewhere() -> None:
    names = {reference.removeprefix("#/components/schemas/") for reference in references(DOCUMENT)}
    assert names <= set(SCHEMAS)
    assert set(SCHEMAS) <= names, "a shape that nothing uses"


def test_shapes_are_schemas() -> None:
    for schema in SCHEMAS.values():
        assert jsonschema_rs.meta.is_valid({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_a_tool_can_read_it() -> None:
    operations = list(schemathesis.openapi.from_dict(DOCUMENT).get_all_operations())
    assert len(operations) == len(OPERATIONS)


def test_operation_ids_are_unique() -> None:
    ids = [entry["operationId"] for path in DOCUMENT["paths"].values() for entry in path.values()]
    assert len(set(ids)) == len(ids)
    assert all(status in STATUS_WORDS for operation in OPERATIONS for status in operation.answers)


async def test_it_lists_exactly_what_the_router_has(house_client: tuple[House, Any]) -> None:
    _, client = house_client
    routed = {
        (method, re.sub(r":\w+}", "}", route.path))
        for route in client.app.routes
        for method in route.methods - {"HEAD"}
        if route.path.startswith("/api/")
    }
    assert {
        (operation.method, operation.path) for operation in OPERATIONS if operation.path.startswith("/api/")
    } == routed


async def administrator(house: House) -> dict[str, str]:
    """The headers of somebody who came by the operator's link."""
    url, _ = await house.accounts.welcome.admin_link("admin@example.org")
    token = urlsplit(url).path.rpartition("/")[2]
    entered = await house.accounts.welcome.accept(token, Visitor(device="", label="test", replaces=""), "en")
    return {"authorization": f"Bearer {entered.token}"}


def conforms(name: str, value: Any) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": SCHEMAS}}
    jsonschema_rs.Draft202012Validator(schema).validate(value)
    known = SCHEMAS[name].get("properties")
    assert known is None or set(value) <= set(known), "an answer says more than is described"


async def test_answers_are_as_described(house_client: tuple[House, Any]) -> None:
    house, client = house_client
    headers = await administrator(house)
    made = await client.post("/api/v1/keys", headers={**headers, **JSON}, body=b'{"name":"laptop"}')
    assert made.status == 201
    conforms("NewKey", made.json)
    offer = await client.post("/api/v1/signup/offer", headers=JSON, body=b"{}")
    conforms("Offer", offer.json)
    for operation in OPERATIONS:
        if operation.method == "GET" and "{" not in operation.path:
            answer = await client.get(operation.path, headers=headers)
            assert answer.status == 200, operation.path
            conforms(operation.answers[200], answer.json)


async def test_problems_are_as_described(house_client: tuple[House, Any]) -> None:
    _, client = house_client
    for operation in OPERATIONS:
        if operation.caller != "anybody":
            answer = await client.call(operation.method, operation.path, headers={"sec-fetch-site": "same-origin"})
            assert answer.status == 401, operation.path
            conforms("Problem", answer.json)
        elif operation.body:
            answer = await client.post(operation.path, headers=JSON, body=b'{"a":1,"a":2}')
            assert answer.status == 400, operation.path
            conforms("Problem", answer.json)


async def test_page_shows_every_operation(client: Any) -> None:
    text = (await client.get("/docs/api")).text
    for operation in OPERATIONS:
        assert f'<span class="method">{operation.method}</span> <code>{operation.path}</code>' in text
    assert (await client.get("/openapi.json")).json["openapi"] == "3.1.0"


async def test_words_are_in_the_visitor_s_language(client: Any) -> None:
    assert "创建 API 密钥" in (await client.get("/docs/api", headers={"accept-language": "zh-CN"})).text
