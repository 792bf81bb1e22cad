"""Packages made by the test, and the registry clients that would download them."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from eval.data import assets
from eval.data.assets import Asset

FILES = {
    "pack/data/one.txt": b"the first file\n" * 40,
    "pack/data/two.bin": bytes(range(256)) * 8,
    "pack/code.py": b"raise SystemExit('never run')\n",
}
"""What a package holds; its assets name the first two."""
MEMBERS = {"pack/data/one.txt": "one.txt", "pack/data/two.bin": "renamed.bin"}


def zip_bytes(files: Mapping[str, bytes] = FILES) -> bytes:
    """Return a wheel; the same bytes at any time of day, as the pinned hash needs."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def tgz_bytes(files: Mapping[str, bytes] = FILES) -> bytes:
    """Return an npm package; the same bytes at any time of day."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


def declare(
    patch: pytest.MonkeyPatch,
    content: bytes,
    *,
    name: str = "fake",
    registry: Literal["pypi", "npm"] = "pypi",
    members: Mapping[str, str] = MEMBERS,
) -> Asset:
    """Register an asset whose package has this content."""
    ending = "-1.0-py3-none-any.whl" if registry == "pypi" else "-1.0.tgz"
    asset = Asset(
        name=name,
        registry=registry,
        package=f"{name}-package",
        version="1.0",
        filename=f"{name}_package{ending}",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        members=members,
        contents="two files",
        licence="none",
        caveats="made by a test",
    )
    patch.setitem(assets.ASSETS, name, asset)
    return asset


def put_by_hand(cache: Path, asset: Asset, content: bytes) -> Path:
    """Put a package where a user without a network would."""
    file = cache / "downloads" / asset.filename
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


class Registry:
    """Stands in for pip and npm: serves a file, or fails with a message."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.commands: list[list[str]] = []
        self.serves: dict[str, bytes] = {}
        self.status, self.message, self.error = 0, "", None
        patch.setattr("eval.data.fetch.subprocess.run", self._run)
        patch.setattr("eval.data.fetch.shutil.which", lambda name: f"/usr/bin/{name}")

    def fail(self, message: str) -> None:
        """Print this to stderr and exit with status 1."""
        self.status, self.message = 1, message

    def _run(
        self, command: list[str], *, cwd: Path, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        for name, content in self.serves.items():
            (Path(cwd) / name).write_bytes(content)
        if options["timeout"] is not None and self.error is not None:
            raise self.error
        return subprocess.CompletedProcess(command, self.status, "", self.message)


def no_space(*arguments: object, **options: object) -> None:
    """Fail as the operating system does on a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, hidden ones too."""
    if not folder.exists():
        return {}
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def leftovers(cache: Path) -> list[str]:
    """Return what lies in the cache's folder of assets, hidden or not."""
    folder = cache / "assets"
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []
