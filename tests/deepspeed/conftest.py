"""What comparing with DeepSpeed needs: DeepSpeed, and its CUDA operators in plain torch."""

from __future__ import annotations

import pytest

MISSING = ""
try:
    # Not `import deepspeed`: without the library that finds this folder.
    from deepspeed.ops.random_ltd import dropping_utils
except ImportError as error:
    MISSING = str(error)


def pytest_configure() -> None:
    """End the whole run here without DeepSpeed: a skip would read like a pass."""
    if MISSING:
        raise pytest.UsageError(
            f"tests/deepspeed compares with DeepSpeed, which cannot be imported ({MISSING}); "
            "install it with\n"
            '    DS_BUILD_OPS=0 .venv/bin/pip install -e ".[deepspeed]"'
        )


@pytest.fixture(autouse=True)
def operators_in_plain_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let DeepSpeed gather, scatter and sort on the CPU: its own three operators need CUDA."""
    from tests.deepspeed.oracle import PlainOperators

    monkeypatch.setattr(dropping_utils, "random_ltd_module", PlainOperators)
