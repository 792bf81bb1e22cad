"""The experiments: what is trained and measured, and what the records say."""

from eval.torchvision_repair import ensure_torchvision

ensure_torchvision()  # before any module of this package imports transformers, timm or lm_eval
