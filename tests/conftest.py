"""What every test needs: one thread, no network, and importable model classes."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch

from eval.torchvision_repair import ensure_torchvision

torch.set_num_threads(1)
ensure_torchvision()
