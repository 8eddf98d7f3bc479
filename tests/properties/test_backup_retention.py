"""Which backups go: never the newest, never the proved one, never what is not ours, and no more than was wished."""

from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from doorward.vault.backups.retention import Kept, doomed, own_backups
from doorward.vault.backups.settings import BackupSettings

DAY = 86_400.0
moments = st.lists(st.floats(1.6e9, 1.9e9), max_size=60, unique=True)
wishes = st.builds(
    BackupSettings, keep_daily=st.integers(0, 20), keep_weekly=st.integers(0, 10), keep_monthly=st.integers(0, 10)
)


def files(times) -> list[Kept]:
    return [Kept(Path(f"{number:03}.dwbackup"), at, "ring") for number, at in enumerate(times)]


def days(backups) -> list[object]:
    return [datetime.fromtimestamp(one.made_at, UTC).date() for one in backups]


@given(moments, wishes)
def test_the_newest_stays_and_numbers_hold(times, settings):
    backups = files(times)
    gone = doomed(backups, settings)
    stays = [one for one in backups if one not in gone]
    assert set(gone) <= set(backups)
    if backups:
        assert max(backups, key=lambda one: (one.made_at, one.path)) in stays
    assert len(stays) <= max(1, settings.keep_daily + settings.keep_weekly + settings.keep_monthly)
    newest_days = sorted(set(days(backups)), reverse=True)[: settings.keep_daily]
    assert set(newest_days) <= set(days(stays))


@given(moments, wishes)
def test_to_do_it_again_changes_nothing(times, settings):
    backups = files(times)
    stays = [one for one in backups if one not in doomed(backups, settings)]
    assert doomed(stays, settings) == []


@given(moments.filter(bool), wishes, st.data())
def test_the_proved_one_stays(times, settings, data):
    backups = files(times)
    proved = data.draw(st.sampled_from(backups))
    assert proved not in doomed(backups, settings, proved.path.name)


@given(st.integers(1, 400), wishes)
def test_one_a_day_leaves_every_month_and_week_that_was_wished(number, settings):
    """Made every day in time: what is left at the end holds the last of each week and month."""
    stays: list[Kept] = []
    for count in range(number):
        stays.append(Kept(Path(f"{count:03}.dwbackup"), 1.7e9 + count * DAY, "ring"))
        gone = doomed(stays, settings)
        stays = [one for one in stays if one not in gone]
    months = {day.strftime("%Y-%m") for day in (datetime.fromtimestamp(1.7e9 + n * DAY, UTC) for n in range(number))}
    kept_months = {day.strftime("%Y-%m") for day in days(stays)}
    assert set(sorted(months, reverse=True)[: settings.keep_monthly]) <= kept_months


def test_other_files_are_nobodys_business(tmp_path):
    for name in (
        "doorward-20261124T101500Z.dwbackup",
        "before-restore-doorward-20261124T101500Z.dwbackup",
        "notes.txt",
    ):
        (tmp_path / name).write_bytes(b"what somebody put there")
    assert own_backups(tmp_path, "rng_x") == []
    assert own_backups(tmp_path / "absent", "rng_x") == []
