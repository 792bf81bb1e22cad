"""What every test needs: one thread, no network, and importable model classes."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch

from eval.torchvision_repair import ensure_torchvision

torch.set_num_threads(1)
ensure_torchvision()


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process, and the documents' in one: they share fixtures."""
    for item in items:
        name = "docs" if item.path.parent.name == "docs" else item.path.stem
        item.add_marker(pytest.mark.xdist_group(name))
