"""`/metrics` in the Prometheus text format, from the rooms' figures.

A room's `figures()` gives names with labels already in them (`gate_arrivals_total{action="admit"}`), or, where one of
the house's own count keys is the label, behind a colon (`gate_verdicts_total:signup/admit/price.paid`). Labels are
bounded by the rooms, and the number of lines is bounded here: an attacker must not be able to grow them.

The page tells an attacker how well an attack goes. So it is open without a key only to this machine, and only where
the service itself is reached on this machine: with a public address in front, a proxy here would make everybody local.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from doorward.edge.desk import FrontDesk, canonical_address
from doorward.edge.view import Figures, HouseView
from doorward.hall.model import Role

_NAME: Final = re.compile(r"(?P<name>[a-z][a-z0-9_]*)(?:\{(?P<labels>[^{}\n]*)\}|:(?P<key>[a-z0-9_./-]+))?")
_LABEL: Final = re.compile(r'([a-z_][a-z0-9_]*)="([^"\\\n]*)"')
_KEY_LABELS: Final = ("attempt", "action", "reason")  # as in `hall.events.ArrivalsSummarised`
_LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
_MOST_LINES: Final = 2000
_FORWARDED: Final = ("x-forwarded-for", "forwarded", "x-real-ip", "via")


class Metrics:
    """The page, for the operator's own networks and for administrators."""

    def __init__(self, house: HouseView, desk: FrontDesk) -> None:
        self._desk = desk
        networks = house.front.metrics_networks or (_LOOPBACK if house.front.is_loopback else ())
        self._networks = [ipaddress.ip_network(text) for text in networks]
        self._registry = CollectorRegistry()
        self._registry.register(RoomFigures(house.figures, house.front.version))
        ProcessCollector(registry=self._registry)

    def routes(self) -> list[Route]:
        """Its address."""
        return [Route("/metrics", self._page, methods=["GET"])]

    async def _page(self, request: Request) -> Response:
        if not self._is_local(request):
            self._desk.standing(request, Role.ADMIN)
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    def _is_local(self, request: Request) -> bool:
        """Whether the caller is in the operator's networks, itself: what a proxy forwards is not local to us."""
        if any(name in request.headers for name in _FORWARDED):
            return False
        text = canonical_address(request.client.host if request.client else "")
        return text != "" and any(ipaddress.ip_address(text) in network for network in self._networks)


class RoomFigures(Collector):
    """The rooms' figures as metric families, each name once."""

    def __init__(self, sources: Iterable[Figures], version: str) -> None:
        self._sources = tuple(sources)
        self._version = version

    def collect(self) -> Iterator[Metric]:
        """All families, in the order of their names."""
        about = GaugeMetricFamily("doorward_build_info", "The running release; always 1.", labels=["version"])
        about.add_metric([self._version], 1)
        yield about
        yield from families([source() for source in self._sources])


def families(figures: Iterable[Mapping[str, float]]) -> list[Metric]:
    """Figures as families; a name that ends in `_total` is a counter, any other a gauge.

    Raises:
        ValueError: a figure's name is not of the form `name{label="value",…}`.
    """
    gathered: dict[str, Metric] = {}
    lines = sorted(line for source in figures for line in source.items())
    for text, value in lines[:_MOST_LINES]:
        name, labels = _parsed(text)
        family = gathered.setdefault(name, _family(name))
        family.add_sample(f"doorward_{name}", labels, value)
    return list(gathered.values())


def _family(name: str) -> Metric:
    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
    words = name.removesuffix("_total").replace("_", " ")
    return kind(f"doorward_{name}", words[:1].upper() + words[1:] + ".")


def _parsed(text: str) -> tuple[str, dict[str, str]]:
    match = _NAME.fullmatch(text)
    if match is None:
        raise ValueError(f"not a figure's name: {text[:80]!r}")
    if match["key"]:
        return match["name"], dict(zip(_KEY_LABELS, match["key"].split("/"), strict=False))
    return match["name"], dict(_LABEL.findall(match["labels"] or ""))
