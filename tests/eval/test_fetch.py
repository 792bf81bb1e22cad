"""Fetching: verified, complete or absent, and one clear error for whatever goes wrong."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eval.data.assets import ASSETS, asset
from eval.data.fetch import asset_folder, fetch, is_fetched, sha256_of
from eval.errors import UserError
from tests.eval.packages import (
    FILES,
    Registry,
    contents,
    declare,
    leftovers,
    no_space,
    put_by_hand,
    tgz_bytes,
    zip_bytes,
)

WHEEL = zip_bytes()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Serve nothing, until the test says otherwise."""
    return Registry(monkeypatch)


def assert_clear(error: UserError, cache: Path, before: dict[str, bytes]) -> None:
    """Assert that the message is one line and the cache is as it was."""
    assert "\n" not in str(error)
    assert contents(cache) == before
    assert leftovers(cache) == []


@pytest.mark.parametrize("kind", ["pypi", "npm"])
@pytest.mark.parametrize("way", ["downloaded", "by hand"])
def test_exactly_the_named_members_are_unpacked(
    cache: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry, kind: str, way: str
) -> None:
    content = WHEEL if kind == "pypi" else tgz_bytes()
    fake = declare(monkeypatch, content, registry=kind)  # type: ignore[arg-type]
    if way == "by hand":
        put_by_hand(cache, fake, content)
    else:
        registry.serves[fake.filename] = content
    folder = fetch("fake")
    files = contents(folder)
    files.pop("manifest.json")
    assert files == {
        "one.txt": FILES["pack/data/one.txt"],
        "renamed.bin": FILES["pack/data/two.bin"],
    }
    assert len(registry.commands) == (way == "downloaded")
    assert leftovers(cache) == [folder.name]
    assert is_fetched(fake)


def test_pip_is_asked_for_the_pinned_wheel_and_nothing_it_needs(
    monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    fake = declare(monkeypatch, WHEEL)
    registry.serves[fake.filename] = WHEEL
    fetch("fake")
    (command,) = registry.commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert command[-1] == "fake-package==1.0"
    assert {"--no-deps", "--only-binary", "--no-cache-dir"} <= set(command)


def test_npm_only_packs_which_runs_no_script(
    monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    fake = declare(monkeypatch, tgz_bytes(), registry="npm")
    registry.serves[fake.filename] = tgz_bytes()
    fetch("fake")
    (command,) = registry.commands
    assert command[1:3] == ["pack", "fake-package@1.0"]


def test_a_fetched_asset_is_not_fetched_again(
    monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    fake = declare(monkeypatch, WHEEL)
    registry.serves[fake.filename] = WHEEL
    first = fetch("fake")
    before = contents(first)
    assert fetch("fake") == first
    assert contents(first) == before
    assert len(registry.commands) == 1


@pytest.mark.parametrize("way", ["downloaded", "by hand"])
@pytest.mark.parametrize(
    "served", [WHEEL[:-7], b"", zip_bytes({"x": b"another"})], ids=["cut", "empty", "another"]
)
def test_another_file_than_the_pinned_one_is_refused(
    cache: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry, way: str, served: bytes
) -> None:
    fake = declare(monkeypatch, WHEEL)
    if way == "by hand":
        put_by_hand(cache, fake, served)
    else:
        registry.serves[fake.filename] = served
    before = contents(cache)
    with pytest.raises(UserError, match="is not the pinned file: sha256 ") as caught:
        fetch("fake")
    assert_clear(caught.value, cache, before)
    assert f"{len(served):,} bytes instead of {len(WHEEL):,}" in str(caught.value)
    if way == "by hand":  # running it again would read the same file
        assert str(cache / "downloads") in str(caught.value)
    else:
        assert "run ./rltd assets --fetch fake again" in str(caught.value)


@pytest.mark.parametrize("kind", ["pypi", "npm"])
def test_without_a_network_the_error_says_what_to_do(
    cache: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry, kind: str
) -> None:
    fake = declare(monkeypatch, WHEEL, registry=kind)  # type: ignore[arg-type]
    registry.fail("WARNING: retrying\nERROR: no route to host\nhint: a new release is there")
    registry.serves["half"] = b"of the file"
    with pytest.raises(UserError, match=r"check the network, or put .* into ") as caught:
        fetch("fake")
    assert_clear(caught.value, cache, {})
    assert "ERROR: no route to host" in str(caught.value)
    assert fake.filename in str(caught.value)
    assert str(cache / "downloads") in str(caught.value)


def test_a_tool_that_hangs_is_stopped(
    cache: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    declare(monkeypatch, WHEEL)
    registry.error = subprocess.TimeoutExpired("pip", 1800)  # type: ignore[assignment]
    with pytest.raises(UserError, match="pip took over 1800 s for fake-package") as caught:
        fetch("fake")
    assert_clear(caught.value, cache, {})


@pytest.mark.parametrize(
    "served",
    [{}, {"a.whl": WHEEL, "b.whl": WHEEL}, {"notes.txt": b"x"}],
    ids=["none", "two", "no package"],
)
def test_a_download_of_no_or_two_files_is_refused(
    cache: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry, served: dict[str, bytes]
) -> None:
    declare(monkeypatch, WHEEL)
    registry.serves = served
    with pytest.raises(UserError, match="fetch it by hand into") as caught:
        fetch("fake")
    assert_clear(caught.value, cache, {})


def test_without_npm_the_error_says_how_to_get_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = declare(monkeypatch, tgz_bytes(), registry="npm")
    monkeypatch.setenv("PATH", str(cache))
    with pytest.raises(UserError, match="npm is not installed; install Node") as caught:
        fetch("fake")
    assert_clear(caught.value, cache, {})
    assert fake.filename in str(caught.value)


def test_without_npm_a_file_put_by_hand_is_enough(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = declare(monkeypatch, tgz_bytes(), registry="npm")
    put_by_hand(cache, fake, tgz_bytes())
    monkeypatch.setenv("PATH", str(cache))
    assert (fetch("fake") / "one.txt").read_bytes() == FILES["pack/data/one.txt"]


@pytest.mark.parametrize(
    "fails", ["shutil.copyfileobj", "pathlib.Path.write_text", "tempfile.mkdtemp"]
)
def test_a_full_disk_is_one_clear_error(
    cache: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    fake = declare(monkeypatch, WHEEL)
    put_by_hand(cache, fake, WHEEL)
    before = contents(cache)
    with monkeypatch.context() as patch:
        patch.setattr(fails, no_space)
        with pytest.raises(UserError, match=r"no space left on the disk .*RLTD_CACHE") as caught:
            fetch("fake")
    assert_clear(caught.value, cache, before)
    assert is_fetched(fake) is False
    assert fetch("fake").is_dir()  # once there is space


@pytest.mark.parametrize("message", ["OSError: [Errno 28] No space left", "npm ERR! ENOSPC: x"])
def test_a_disk_that_the_download_fills_is_the_same_error(
    cache: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry, message: str
) -> None:
    declare(monkeypatch, WHEEL)
    registry.fail(f"ERROR: {message}")
    with pytest.raises(UserError, match="no space left on the disk") as caught:
        fetch("fake")
    assert_clear(caught.value, cache, {})


def test_an_unknown_asset_names_the_known_ones(cache: Path) -> None:
    with pytest.raises(UserError, match="unknown asset 'nonsense'; known are") as caught:
        fetch("nonsense")
    assert all(name in str(caught.value) for name in ASSETS)
    assert_clear(caught.value, cache, {})
    with pytest.raises(UserError):
        asset("nonsense")


@pytest.mark.parametrize("damage", ["cut short", "deleted", "longer"])
def test_an_asset_with_a_damaged_file_is_fetched_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    fake = declare(monkeypatch, WHEEL)
    put_by_hand(cache, fake, WHEEL)
    file = fetch("fake") / "one.txt"
    if damage == "deleted":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] if damage == "cut short" else b"x" * 10**4)
    assert not is_fetched(fake)
    assert fetch("fake") == file.parent
    assert file.read_bytes() == FILES["pack/data/one.txt"]


def test_an_asset_whose_manifest_was_cut_short_is_fetched_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = declare(monkeypatch, WHEEL)
    put_by_hand(cache, fake, WHEEL)
    (fetch("fake") / "manifest.json").write_text("")
    assert not is_fetched(fake)
    assert fetch("fake").is_dir()


def test_every_declared_asset_is_pinned_and_described() -> None:
    for name, entry in ASSETS.items():
        assert entry.name == name
        assert len(entry.sha256) == 64
        assert entry.size_bytes > 0
        assert entry.contents
        assert entry.licence
        assert len(set(entry.members.values())) == len(entry.members)
        assert asset_folder(entry).name == f"{name}-{entry.sha256[:12]}"
        assert all("/" not in target for target in entry.members.values())


def test_the_sha256_is_that_of_the_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abc" * 10**6)
    tool = shutil.which("sha256sum")
    if tool is not None:
        expected = subprocess.check_output([tool, str(file)], text=True).split()[0]
        assert sha256_of(file) == expected
