"""The file in which long work is remembered: private, and worth nothing but the way back to where a work was."""

import asyncio
import stat
from pathlib import Path

import pytest
from sqlalchemy import make_url

from doorward.hall.errors import ShreddedError
from doorward.stores import durable
from doorward.stores.errors import StoreDamagedError


def counts(state):
    return {"n": state["n"] + 1, "done": state["n"] >= 2}


@pytest.mark.parametrize("keeps_head", [False, True])
async def test_a_damaged_file_is_set_aside_and_the_work_begins_anew(sqlite_url, tmp_path: Path, keeps_head):
    url, path = make_url(sqlite_url), tmp_path / durable.FILE_NAME
    assert (await asyncio.to_thread(durable.run, url, "test", {"n": 0}, counts))["n"] == 3
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"damaged " * 2_000 if keeps_head else b"damaged " * 2_000)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    assert (await asyncio.to_thread(durable.run, url, "test", {"n": 1}, counts))["n"] == 3
    assert path.with_name("durable.db.damaged").exists()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("error", [ShreddedError, StoreDamagedError])
async def test_what_a_step_raises_sets_nothing_aside(sqlite_url, tmp_path: Path, error):
    def fails(state):
        raise error

    with pytest.raises(error):
        await asyncio.to_thread(durable.run, make_url(sqlite_url), "test", {"n": 0}, fails)
    assert not (tmp_path / "durable.db.damaged").exists()
