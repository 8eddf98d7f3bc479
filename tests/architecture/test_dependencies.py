"""Few dependencies, each with a reason, and a small wheel."""

import re
import subprocess
import sys
import zipfile

import pytest

PACKAGES = 42
WHEEL_MEGABYTES = 2


def _locked(text: str) -> list[str]:
    return re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE)


@pytest.fixture(scope="module")
def runtime(root) -> list[str]:
    return _locked((root / "requirements" / "runtime.txt").read_text())


def test_runtime_stays_small(runtime):
    assert 0 < len(runtime) <= PACKAGES


def test_each_package_has_its_reason(runtime, root):
    text = (root / "docs" / "explanation" / "dependencies.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \| (.+) \|$", text, re.MULTILINE))
    assert sorted(set(runtime) - set(rows)) == []
    assert sorted(set(rows) - set(runtime)) == []
    assert [name for name, reason in rows.items() if len(reason) < 15] == []


@pytest.mark.parametrize("name", ["runtime", "build", "test"])
def test_every_lock_has_hashes_and_no_address(root, name):
    text = (root / "requirements" / f"{name}.txt").read_text()
    assert _locked(text)
    assert [block for block in re.split(r"\n(?=\S)", text.strip()) if "--hash=sha256:" not in block] == []
    assert not re.search(r"https?://|--index-url|--find-links|--trusted-host", text)


def test_the_test_lock_pins_what_runs(root, runtime):
    """Tests must run what is shipped: the same version of every runtime package."""
    versions = {}
    for name in ("runtime", "build", "test"):
        text = (root / "requirements" / f"{name}.txt").read_text()
        versions[name] = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    for name in ("runtime", "build"):
        assert versions[name].items() <= versions["test"].items()


@pytest.mark.slow
def test_the_wheel_is_small_and_whole(root, tmp_path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
    ]
    subprocess.run([*command, str(root)], check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("doorward-*.whl")
    assert wheel.stat().st_size <= WHEEL_MEGABYTES * 1024 * 1024
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("doorward/")}
    source = root / "src" / "doorward"
    kept = {
        path.relative_to(root / "src").as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert kept - packed == set()
