"""torchvision beside another build of torch: repaired where that helps, left alone elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from eval.paths import ROOT
from eval.torchvision_repair import ensure_torchvision

INSTALLS = {
    "healthy": "",
    "absent": "raise ModuleNotFoundError(\"No module named 'torchvision'\")",
    "broken otherwise": "raise RuntimeError('operator torchvision::roi_align does not exist')",
    # As a build for another torch: its Python part registers on operators that nobody declared.
    "built for CUDA": (
        "import torch\n"
        "if not hasattr(torch.ops.torchvision, 'nms'):\n"
        "    raise RuntimeError('operator torchvision::nms does not exist')\n"
        "assert torch.ops.torchvision.qnms\n"
    ),
}
"""The module `torchvision` of each install, in the order they are tried in one process."""

SCRIPT = """
import importlib.util, json, pathlib, sys
spec = importlib.util.spec_from_file_location("repair", "eval/torchvision_repair.py")
repair = importlib.util.module_from_spec(spec)  # without its package, which runs it
spec.loader.exec_module(repair)
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
answers = {}
for name, source in json.loads(sys.argv[2]).items():
    pathlib.Path(sys.argv[1], "torchvision.py").write_text(source)
    sys.modules.pop("torchvision", None)
    try:
        said = [repair.ensure_torchvision(), repair.ensure_torchvision()]
    except Exception as error:
        said = [type(error).__name__, str(error)]
    answers[name] = [*said, repair._library is not None, "torchvision" in sys.modules]
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    """Return what every install answers twice, whether operators were declared and it is loaded."""
    folder = tmp_path_factory.mktemp("install")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), json.dumps(INSTALLS)],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("install", "expected"),
    [
        ("healthy", ["ok", "ok", False, True]),
        ("absent", ["absent", "absent", False, False]),
        ("built for CUDA", ["repaired", "repaired", True, True]),
    ],
)
def test_an_install_is_repaired_only_if_it_lacks_just_the_operators(
    answers: dict[str, list[object]], install: str, expected: list[object]
) -> None:
    assert answers[install] == expected


def test_any_other_error_of_torchvision_is_raised_as_it_is(
    answers: dict[str, list[object]],
) -> None:
    error = ["RuntimeError", "operator torchvision::roi_align does not exist"]
    assert answers["broken otherwise"] == [*error, False, False]


def test_here_timm_and_transformers_vision_models_work() -> None:
    assert ensure_torchvision() in {"ok", "repaired"}
    import timm
    from timm.layers import Mlp
    from torchvision import transforms
    from transformers import ViTConfig, ViTModel

    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, embed_dim=12, depth=1, num_heads=2, num_classes=3
    )
    assert isinstance(model.blocks[0].mlp, Mlp)
    image_BCHW = transforms.CenterCrop(32)(torch.zeros(1, 3, 40, 40))
    assert model(image_BCHW).shape == (1, 3)
    config = ViTConfig(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
    )
    assert ViTModel(config)(image_BCHW).last_hidden_state.shape == (1, 5, 8)


def test_asking_again_answers_the_same() -> None:
    assert ensure_torchvision() == ensure_torchvision()


def test_the_package_repairs_before_any_of_its_modules_imports_a_model_class() -> None:
    script = "import sys, eval; print('torchvision' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False"]
