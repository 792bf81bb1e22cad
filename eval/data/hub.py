"""Data sets of the Hugging Face hub, or a local copy of a hub repository."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from eval.errors import UserError
from eval.paths import local_dir

__all__ = ["load_hub_split", "local_copy"]


def load_hub_split(
    repository: str, name: str | None, revision: str, *, split: str, source: str
) -> Any:
    """Load one split with the `datasets` library, from the hub or from the folder of local copies.

    Raises: UserError if the source cannot serve it.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    try:
        if source == "hub":
            return load_dataset(repository, name, split=split, revision=revision)
        with tempfile.TemporaryDirectory() as fresh:  # a kept preparation may be of older files
            path = str(local_copy(repository))
            return load_dataset(path, name, split=split, cache_dir=fresh, keep_in_memory=True)
    except (OSError, ValueError, DatasetsError) as error:
        raise UserError(
            f"source {source!r} could not serve {repository} [{name}] {split}: "
            f"{str(error).splitlines()[0]}; check the network and HF_HUB_OFFLINE, or use "
            "--source package"
        ) from error


def local_copy(repository: str) -> Path:
    """Return the local copy of a hub repository, checked against its manifest if it has one.

    The manifest is `manifest.sha256`, in the format that sha256sum writes and checks.

    Raises: UserError if the folder is missing or a file differs from the manifest.
    """
    folder = local_dir() / repository
    if not folder.is_dir():
        raise UserError(f"no local copy of {repository}: {folder} does not exist")
    manifest = folder / "manifest.sha256"
    for line in manifest.read_text().splitlines() if manifest.exists() else []:
        expected, name = line.split(maxsplit=1)
        file = folder / name.removeprefix("*")
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            found = "differs from" if file.is_file() else "is missing, though it is in"
            raise UserError(f"{file} {found} {manifest.name}; copy it from the hub again")
    return folder
