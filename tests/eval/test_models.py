"""Models by name: a GGUF file becomes a stock checkpoint, and what cannot be had is one error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from eval.data.fetch import sha256_of
from eval.errors import UserError
from eval.models import named
from eval.models.named import (
    MODELS,
    Pretrained,
    load_causal_model,
    load_tokenizer,
    weights_folder,
    weights_sha256,
)
from tests.eval.experiments import assert_same_weights, weights
from tests.eval.gguf_file import write_gguf
from tests.eval.packages import declare, put_by_hand, zip_bytes

TEXT = "The licensor grants a licence; na\u00efve caf\u00e9s \u65e5\u672c\u8a9e \U0001f642\n"


@pytest.fixture
def original(smoke: Path) -> tuple[Any, Any]:
    """Return the tiny Llama and its tokenizer, with weights far from the initial ones."""
    model = load_causal_model("tiny-llama", "checkout")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval(), load_tokenizer("tiny-llama", "checkout")


@pytest.fixture
def packaged(
    original: tuple[Any, Any], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Put the model as GGUF into a package put by hand; return a folder with the GGUF file."""
    folder = tmp_path / "gguf"
    folder.mkdir()
    write_gguf(*original, folder / "model.gguf")
    content = zip_bytes({"pack/tiny.gguf": (folder / "model.gguf").read_bytes()})
    members = {"pack/tiny.gguf": "model.gguf"}
    asset = declare(monkeypatch, content, name="tiny-gguf", members=members)
    put_by_hand(cache, asset, content)
    entry = Pretrained(name="tiny-gguf", asset="tiny-gguf", hub=("someone/tiny", "main"))
    monkeypatch.setitem(MODELS, "tiny-gguf", entry)
    return folder


def logits(model: Any, tokenizer: Any) -> torch.Tensor:
    ids_BS = torch.tensor([tokenizer(TEXT, add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        return model.eval()(input_ids=ids_BS).logits


def test_a_gguf_package_becomes_a_checkpoint_with_the_original_weights(
    original: tuple[Any, Any], packaged: Path
) -> None:
    model, tokenizer = original
    loaded = load_causal_model("tiny-gguf", "package")
    assert_same_weights(weights(loaded), weights(model))
    assert loaded.config.rope_parameters["rope_theta"] == model.config.rope_parameters["rope_theta"]
    assert loaded.config.rms_norm_eps == pytest.approx(model.config.rms_norm_eps)
    assert torch.allclose(logits(loaded, tokenizer), logits(model, tokenizer), rtol=0, atol=1e-5)


def test_its_logits_are_those_of_the_model_that_transformers_reads_from_the_file(
    original: tuple[Any, Any], packaged: Path
) -> None:
    read = AutoModelForCausalLM.from_pretrained(packaged, gguf_file="model.gguf")
    loaded = load_causal_model("tiny-gguf", "package")
    assert torch.equal(logits(loaded, original[1]), logits(read, original[1]))


def test_its_tokenizer_gives_the_original_tokens(original: tuple[Any, Any], packaged: Path) -> None:
    loaded, tokenizer = load_tokenizer("tiny-gguf", "package"), original[1]
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    assert loaded(TEXT, add_special_tokens=False)["input_ids"] == ids
    assert loaded.decode(ids) == TEXT
    assert len(loaded) == len(tokenizer)


def test_the_converted_model_is_stock_float32_and_can_be_saved(
    packaged: Path, tmp_path: Path
) -> None:
    loaded = load_causal_model("tiny-gguf", "package")
    assert not getattr(loaded, "is_quantized", False)
    assert getattr(loaded.config, "quantization_config", None) is None
    assert {w.dtype for w in loaded.state_dict().values()} == {torch.float32}
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    assert loaded.training
    loaded.save_pretrained(tmp_path / "saved")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert_same_weights(weights(again), weights(loaded))


def test_the_conversion_is_done_once(packaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = weights_folder("tiny-gguf", "package")
    monkeypatch.setattr(named, "_convert_gguf", lambda *arguments: pytest.fail("done again"))
    assert weights_folder("tiny-gguf", "package") == folder
    AutoTokenizer.from_pretrained(folder)


def test_an_interrupted_conversion_leaves_no_model(
    packaged: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(folder: Path, gguf_file: str, target: Path) -> None:
        (target / "config.json").write_text("{}")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(named, "_convert_gguf", interrupted)
        with pytest.raises(KeyboardInterrupt):
            weights_folder("tiny-gguf", "package")
    assert [p.name for p in (cache / "models").iterdir()] == ["tiny-llama"]
    assert load_causal_model("tiny-gguf", "package").config.num_hidden_layers == 5


def test_the_models_identity_is_the_hash_of_its_weights_file(smoke: Path) -> None:
    file = smoke / "models" / "tiny-llama" / "model.safetensors"
    assert weights_sha256("tiny-llama", "checkout") == sha256_of(file)


def test_the_tiny_model_is_the_same_wherever_it_is_made(
    smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = weights_sha256("tiny-llama", "checkout")
    monkeypatch.setenv("RLTD_CACHE", str(tmp_path / "another"))
    state = torch.get_rng_state()
    assert weights_sha256("tiny-llama", "checkout") == first
    assert torch.equal(torch.get_rng_state(), state)


def test_an_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"unknown model 'gpt9'; known are .*tiny-llama"):
        weights_folder("gpt9", "package")


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("gpt2", "package", "no package carries gpt2; use --source hub, or --source local"),
        ("tiny-llama", "hub", "'tiny-llama' cannot be had from source 'hub'"),
        ("tiny-llama", "local", "'tiny-llama' cannot be had from source 'local'"),
        ("gpt2", "local", "the source 'local' needs a folder"),
        ("gpt2", "checkout", "'gpt2' cannot be had from source 'checkout'"),
    ],
)
def test_a_source_that_does_not_have_the_model_is_one_clear_error(
    name: str, source: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        weights_folder(name, source)
    assert "\n" not in str(caught.value)


def test_the_hub_when_offline_is_one_clear_error() -> None:
    with pytest.raises(UserError, match=r"could not serve openai-community/gpt2 .*HF_HUB_OFFLINE"):
        load_causal_model("gpt2", "hub")


def test_a_local_copy_of_a_hub_model_is_loaded(
    smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLTD_LOCAL", str(tmp_path / "copies"))
    folder = tmp_path / "copies" / "openai-community" / "gpt2"
    load_causal_model("tiny-llama", "checkout").save_pretrained(folder)
    assert weights_folder("gpt2", "local") == folder
    expected = weights(load_causal_model("tiny-llama", "checkout"))
    assert_same_weights(weights(load_causal_model("gpt2", "local")), expected)


@pytest.mark.parametrize("name", [n for n, m in MODELS.items() if m.hub is not None])
def test_every_hub_model_is_pinned_to_a_commit(name: str) -> None:
    hub = MODELS[name].hub
    assert hub is not None
    assert len(hub[1]) == 40
    assert set(hub[1]) <= set("0123456789abcdef")
