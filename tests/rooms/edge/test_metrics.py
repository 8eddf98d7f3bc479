"""`/metrics`: the rooms' figures in Prometheus' format, for the operator only."""

from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from doorward.edge.app import build_app
from doorward.edge.metrics import families
from doorward.edge.view import Front, HouseView

LOCAL = ("127.0.0.1", 9)


@pytest.fixture
def house(house: HouseView) -> HouseView:
    gate = {'gate_arrivals_total{action="admit"}': 3.0, 'gate_arrivals_total{action="refuse"}': 5.0}
    return replace(house, figures=(lambda: gate, lambda: {"upstream_open_streams": 2.0}))


async def test_figures_are_families(client: Any) -> None:
    answer = await client.get("/metrics", client=LOCAL)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    by_name = {family.name: family for family in text_string_to_metric_families(answer.text)}
    arrivals = by_name["doorward_gate_arrivals"]
    assert arrivals.type == "counter"
    assert {sample.labels["action"]: sample.value for sample in arrivals.samples} == {"admit": 3.0, "refuse": 5.0}
    assert by_name["doorward_upstream_open_streams"].type == "gauge"
    assert by_name["doorward_build_info"].samples[0].labels == {"version": "1.2.3"}
    assert "process_resident_memory_bytes" in by_name
    assert all(family.documentation for family in by_name.values())


@pytest.mark.parametrize(
    ("client_address", "headers", "status"),
    [
        (("203.0.113.9", 1), {}, 401),
        (("203.0.113.9", 1), {"authorization": "Bearer dw_live_admin"}, 200),
        (("203.0.113.9", 1), {"authorization": "Bearer dws_member"}, 403),
        (LOCAL, {"x-forwarded-for": "203.0.113.9"}, 401),
        (("::ffff:127.0.0.1", 1), {}, 200),
        (None, {}, 401),
    ],
)
async def test_who_may_read(client: Any, client_address: Any, headers: dict[str, str], status: int) -> None:
    assert (await client.get("/metrics", client=client_address, headers=headers)).status == status


async def test_with_a_public_address_nobody_is_local(client: Any, house: HouseView) -> None:
    public = type(client)(build_app(replace(house, front=Front(public_url="https://ai.example"))))
    assert (await public.get("/metrics", client=LOCAL)).status == 401
    listed = Front(public_url="https://ai.example", metrics_networks=("10.0.0.0/8",))
    listed_client = type(client)(build_app(replace(house, front=listed)))
    assert (await listed_client.get("/metrics", client=("10.1.2.3", 1))).status == 200
    assert (await listed_client.get("/metrics", client=LOCAL)).status == 401


def test_count_keys_are_labels() -> None:
    (family,) = families([{"gate_verdicts_total:signup/admit/price.paid": 4.0}])
    assert family.samples[0].labels == {"attempt": "signup", "action": "admit", "reason": "price.paid"}


def test_lines_are_bounded() -> None:
    many = {f'x_total{{label="{number}"}}': 1.0 for number in range(5000)}
    assert sum(len(family.samples) for family in families([many])) == 2000


@pytest.mark.parametrize("name", ["Bad", "x{", 'x{a="1"} 7\nfake 1', ""])
def test_bad_names_are_a_mistake(name: str) -> None:
    with pytest.raises(ValueError, match="not a figure"):
        families([{name: 1.0}])
