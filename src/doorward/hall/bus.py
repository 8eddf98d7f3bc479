"""Who wants to hear which fact. The outbox (`stores.outbox`) delivers; this is only the list of handlers.

Two kinds of hearing, because a fact has two kinds of consequence:
- `on_each_node`: every process hears it, at least once, from the moment it started (snapshots, live pages).
- `once`: one process of the house hears it, at least once, also after a restart; the handler is idempotent by
  `event_id` and its `handler` name is stable, for the delivery is remembered under it.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import TypeVar

from doorward.hall.events import Event

E = TypeVar("E", bound=Event)
Handler = Callable[[Event], Awaitable[None]]


class Bus:
    """The handlers of one house."""

    def __init__(self) -> None:
        self._each: dict[str, list[Handler]] = defaultdict(list)
        self._once: dict[str, dict[str, Handler]] = defaultdict(dict)

    def on_each_node(self, kind: type[E], handler: Callable[[E], Awaitable[None]]) -> None:
        """Have every process call `handler` for facts of this kind."""
        self._each[kind.name].append(handler)  # type: ignore[arg-type]

    def once(self, kind: type[E], name: str, handler: Callable[[E], Awaitable[None]]) -> None:
        """Have one process of the house call `handler`, remembered under the stable `name`.

        Raises:
            ValueError: the name is taken for this kind of fact.
        """
        if name in self._once[kind.name]:
            raise ValueError(f"a handler named {name!r} hears {kind.name} already")
        self._once[kind.name][name] = handler  # type: ignore[assignment]

    def each_handlers(self, event_name: str) -> list[Handler]:
        """The handlers that every process runs for this fact."""
        return self._each.get(event_name, [])

    def once_handlers(self, event_name: str) -> dict[str, Handler]:
        """The handlers that one process runs for this fact, by their stable names."""
        return self._once.get(event_name, {})
