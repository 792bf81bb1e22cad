"""Decoders from scratch: the seed gives the weights, the corpus the tokenizer, and nothing else."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, GPT2LMHeadModel

from eval.data.text import SPLITS, load_split
from eval.errors import UserError
from eval.models import decoders
from eval.models.decoders import SCRATCH, Scratch, initialise, train_bpe, trained_tokenizer
from eval.models.named import model_identity
from eval.paths import ROOT
from eval.starts import model_of, tokenizer_of
from tests.eval.experiments import ARMS, arm, assert_same_weights, weights

TOY = SCRATCH["gpt2-toy"]
PROSE = load_split("repository-prose", "train", "checkout")
STRANGE = (
    " na\u00efve caf\u00e9s , \u65e5\u672c\u8a9e \U0001f642 !\r\n\n\tdon 't <|endoftext|> \x00 end "
)


@pytest.fixture
def tokenizer() -> Any:
    """Return the tokenizer of the toy, trained on the repository's prose."""
    return tokenizer_of(arm(model="gpt2-toy"))


def differ(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    return [name for name in one if not torch.equal(one[name], other[name])]


def test_a_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first = weights(initialise(TOY, 3))
    torch.manual_seed(99)
    assert_same_weights(weights(initialise(TOY, 3)), first)
    matrices = [name for name, tensor in first.items() if tensor.ndim > 1]
    assert differ(weights(initialise(TOY, 4)), first) == matrices


def test_making_a_model_takes_nothing_from_the_global_generator() -> None:
    state = torch.get_rng_state()
    initialise(TOY, 0)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_arms_of_a_seed_begin_with_the_same_weights() -> None:
    first, *others = (weights(model_of(arm(name, model="gpt2-toy"), 5)) for name in ARMS)
    for other in others:
        assert_same_weights(other, first)
    assert differ(weights(initialise(TOY, 5)), first) == []


def test_nothing_is_dropped_out_and_the_model_trains_in_float32_with_sdpa() -> None:
    model = initialise(TOY, 0)
    rates = [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)]
    assert rates
    assert set(rates) == {0.0}
    assert model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.config._attn_implementation == "sdpa"
    assert model.lm_head.weight is model.transformer.wte.weight
    ids_BS = torch.arange(32).reshape(2, 16)
    assert torch.equal(model(input_ids=ids_BS).logits, model(input_ids=ids_BS).logits)


def test_the_first_weights_are_gpt2s() -> None:
    # Normal with deviation 0.02; what is added to the residual stream, by 2 a layer, is scaled
    # down by the root of their number. A deviation of n draws is known to 1 / sqrt(2 n).
    wanted = replace(TOY, width=128, vocabulary=1000)
    for name, tensor in weights(initialise(wanted, 0)).items():
        if tensor.ndim < 2:
            assert set(tensor.tolist()) == {1.0 if name.endswith("weight") else 0.0}, name
            continue
        deviation = 0.02 / math.sqrt(2 * wanted.num_layers) if "c_proj" in name else 0.02
        n = tensor.numel()
        assert float(tensor.std()) == pytest.approx(deviation, rel=5 / math.sqrt(2 * n)), name
        assert float(tensor.mean()) == pytest.approx(0, abs=5 * deviation / math.sqrt(n)), name


@pytest.mark.parametrize(
    ("name", "millions"),
    [("gpt2-4m", 4.39), ("gpt2-28m", 27.98), ("gpt3-350m", 355.87), ("gpt3-1.3b", 1315.72)],
)
def test_a_model_has_as_many_parameters_as_its_name_says(name: str, millions: float) -> None:
    wanted = SCRATCH[name]
    d, s, v = wanted.width, wanted.positions, wanted.vocabulary
    by_hand = (v + s) * d + wanted.num_layers * (12 * d * d + 13 * d) + 2 * d
    with torch.device("meta"):
        model = GPT2LMHeadModel(wanted.config())
    assert sum(p.numel() for p in model.parameters()) == by_hand
    assert by_hand / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize(("name", "width"), [("gpt3-350m", 1024), ("gpt3-1.3b", 2048)])
def test_the_papers_models_have_the_papers_shapes(name: str, width: int) -> None:
    # Paper: section 5.1.
    config = SCRATCH[name].config()
    assert (config.n_layer, config.n_embd, config.n_head) == (24, width, 16)
    assert (config.n_positions, config.vocab_size) == (2048, 50257)
    assert (config.bos_token_id, config.eos_token_id) == (50256, 50256)  # GPT-2's <|endoftext|>
    assert SCRATCH[name].tokenizer == "gpt2"


def test_any_other_field_is_another_identity() -> None:
    changes = {f.name: getattr(TOY, f.name) for f in fields(Scratch)}
    changes = {n: v + "x" if isinstance(v, str) else (v or 1) * 2 for n, v in changes.items()}
    changes["tokenizer"] = "gpt2"
    identities = {replace(TOY, **{name: value}).identity for name, value in changes.items()}
    assert len(identities | {TOY.identity}) == len(changes) + 1
    assert len({wanted.identity for wanted in SCRATCH.values()}) == len(SCRATCH)


def test_a_model_from_scratch_is_the_same_whatever_the_source() -> None:
    assert {model_identity("gpt2-toy", s) for s in ("package", "checkout")} == {TOY.identity}
    with pytest.raises(UserError, match=r"unknown model 'gpt9'; known are .*gpt2.*gpt3-1.3b"):
        model_identity("gpt9", "package")


def test_the_tokenizer_has_exactly_the_declared_vocabulary(tokenizer: Any) -> None:
    assert len(tokenizer) == tokenizer.vocab_size == TOY.vocabulary
    assert sorted(tokenizer.get_vocab().values()) == list(range(TOY.vocabulary))
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|endoftext|>", 0)
    assert TOY.config().eos_token_id == tokenizer.eos_token_id


@pytest.mark.parametrize("vocabulary", [100, 4096], ids=["fewer than bytes", "more than merges"])
def test_a_vocabulary_that_the_text_cannot_fill_is_refused(vocabulary: int) -> None:
    with pytest.raises((UserError, ValueError)):
        train_bpe(["a short text"], vocabulary, end="<|end|>")


@pytest.mark.parametrize("text", [PROSE, STRANGE, STRANGE * 3, ""])
def test_a_text_survives_its_tokens(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert ids == tokenizer(text)["input_ids"]  # nothing is put around them


def test_the_tokenizer_joins_what_often_stands_together(tokenizer: Any) -> None:
    assert len(tokenizer(PROSE)["input_ids"]) < 0.7 * len(PROSE.encode())


def test_the_tokenizer_is_the_same_wherever_it_is_trained(cache: Path) -> None:
    here = trained_tokenizer(TOY, "repository-prose", "checkout")
    code = (
        "from eval.starts import tokenizer_of; from tests.eval.experiments import arm; "
        "tokenizer_of(arm(model='gpt2-toy'))"
    )
    elsewhere = cache.with_name("elsewhere")
    environment = {**os.environ, "RLTD_CACHE": str(elsewhere), "PYTHONHASHSEED": "5"}
    environment["TOKENIZERS_PARALLELISM"] = "true"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
    there = elsewhere / "tokenizers" / here.name
    assert (there / "tokenizer.json").read_bytes() == (here / "tokenizer.json").read_bytes()


def test_the_tokenizer_is_trained_on_the_train_split_alone(
    monkeypatch: pytest.MonkeyPatch, tokenizer: Any
) -> None:
    texts = {split: f"{split} text, " * 99 for split in SPLITS} | {"train": PROSE}
    monkeypatch.setattr(decoders, "corpus_identity", lambda data, source: "another")
    monkeypatch.setattr(decoders, "load_documents", lambda data, split, source: [texts[split]])
    again = AutoTokenizer.from_pretrained(trained_tokenizer(TOY, "repository-prose", "checkout"))
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    texts["train"] += " zzz" * 99
    monkeypatch.setattr(decoders, "corpus_identity", lambda data, source: "a third")
    other = AutoTokenizer.from_pretrained(trained_tokenizer(TOY, "repository-prose", "checkout"))
    assert other.backend_tokenizer.to_str() != tokenizer.backend_tokenizer.to_str()


def test_the_tokenizer_is_trained_once(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "train_bpe", lambda *a, **o: pytest.fail("trained again"))
    again = tokenizer_of(arm(model="gpt2-toy"))
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
