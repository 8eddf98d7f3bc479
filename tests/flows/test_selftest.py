"""`doorward vault selftest` runs without a configuration, and every promise holds."""

import json

from acceptance.running import shell


def test_the_selftest_finds_every_promise_kept(tmp_path):
    said = json.loads(shell("doorward vault selftest --json", tmp_path))
    assert said["ok"] is True
    assert len(said["checks"]) >= 8
    assert list(tmp_path.iterdir()) == []
