"""Opens the house of a server once its key ring can be opened: at once, or when somebody brings the passphrase."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from doorward.config import Config
from doorward.edge.app import build_letters
from doorward.house import House
from doorward.vault.control import Control
from doorward.vault.process import hardening
from doorward.vault.site import Site

_log = structlog.get_logger("doorward.edge")


@asynccontextmanager
async def unlocked(config: Config) -> AsyncIterator[House]:
    """The open house, closed at the end. While the ring's passphrase is not at hand, this waits and touches nothing.

    Raises:
        DoorwardError: the key ring or the stores cannot be used.
    """
    state = hardening()
    if not (state.is_undumpable and state.has_no_core):
        _log.warning("process_may_be_dumped", undumpable=state.is_undumpable, no_core=state.has_no_core)
    site = Site(config.vault, config.stores.data_directory, config.stores.database_url())
    async with Control(site) as control:
        house = await House.open(config, build_letters(), unlocks=await control.lock_at_hand())
        try:
            await control.attach(house.stores.vault.keeper)
            yield house
        finally:
            await house.close()
