"""PostgreSQL's LISTEN: hear that another process has published. Only a wake-up; what was published is in the rows."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from sqlalchemy import URL

CHANNEL: Final = "doorward_outbox"
_RECONNECT_SECONDS: Final = 2.0
_log = structlog.get_logger("doorward.stores")


async def listen(url: URL, own_name: str, ring: Callable[[], None]) -> None:
    """Call `ring` for each notification whose payload is not `own_name`, for ever; connects again after a break.

    It rings also after each connection was made, for what was published while nobody listened.
    """
    from psycopg import AsyncConnection, Error  # noqa: PLC0415 - the driver is an optional extra

    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    is_first_failure = True
    while True:
        try:
            async with await AsyncConnection.connect(address, autocommit=True, connect_timeout=5) as connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                is_first_failure = True
                ring()
                async for notification in connection.notifies():
                    if notification.payload != own_name:
                        ring()
        except (Error, OSError) as error:
            if is_first_failure:
                _log.warning("outbox_listening_lost", error=type(error).__name__)
            is_first_failure = False
        await asyncio.sleep(_RECONNECT_SECONDS)
