"""Perplexity and bits per byte against the plainest loop over tokens.

Letters: N windows, S sequence, V vocabulary.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eval.data.windows import token_windows
from eval.models.named import load_causal_model, load_tokenizer
from eval.tasks.perplexity import WindowScores, score_windows, token_bytes

ASCII = "The work is provided as is, without warranties of any kind. " * 6
MULTIBYTE = "na\u00efve caf\u00e9s: \u65e5\u672c\u8a9e, \U0001f642 \u0416\u0416 \u00bd\n" * 8
EPSILON = float(np.finfo(np.float32).eps)


@pytest.fixture
def tokenizer(smoke: Path) -> Any:
    """Return the tokenizer of the smoke tier."""
    return load_tokenizer("tiny-llama", "checkout")


@pytest.fixture
def model(smoke: Path) -> Any:
    """Return the smoke tier's model in float64, far from uniform predictions."""
    model = load_causal_model("tiny-llama", "checkout").double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator).double() * 0.3)
    return model


def score(model: Any, ids_NS: np.ndarray, tokenizer: Any, *, batch: int = 4) -> WindowScores:
    lengths = token_bytes(tokenizer, len(tokenizer))
    return score_windows(model, ids_NS, lengths, batch=batch, precision="no")


def nll_of(model: Any, window_S: np.ndarray) -> float:
    """Sum the negative log-likelihood token by token, each from its own forward."""
    total = 0.0
    for position in range(1, len(window_S)):
        context = torch.tensor(window_S[None, :position], dtype=torch.int64)
        with torch.no_grad():
            logits_V = model.eval()(input_ids=context).logits[0, -1].double()
        probabilities_V = logits_V.exp() / logits_V.exp().sum()
        total -= math.log(float(probabilities_V[int(window_S[position])]))
    return total


def rounding(windows_NS: np.ndarray, largest: float) -> float:
    """Bound the error of a window's sum: logits and loss of each token rounded to float32.

    A token's loss is a logit less the logarithm of a sum over the vocabulary: four roundings of
    numbers no larger than `largest`.
    """
    return 4 * EPSILON * largest * windows_NS.shape[1]


def largest_logit(model: Any, windows_NS: np.ndarray) -> float:
    with torch.no_grad():
        logits = model(input_ids=torch.tensor(windows_NS, dtype=torch.int64)).logits
    return float(logits.abs().max()) + math.log(logits.shape[-1])


@pytest.mark.parametrize("text", [ASCII, MULTIBYTE], ids=["ascii", "multibyte"])
def test_scores_equal_a_loop_over_tokens(model: Any, tokenizer: Any, text: str) -> None:
    windows = token_windows(tokenizer, text, 12)[:5]
    scores = score(model, windows, tokenizer)
    expected = [nll_of(model, window) for window in windows]
    tolerance = rounding(windows, largest_logit(model, windows))
    assert scores.nll_N == pytest.approx(expected, rel=0, abs=tolerance)
    assert scores.nll == pytest.approx(sum(expected) / (5 * 11), rel=0, abs=tolerance)


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
def test_scores_do_not_depend_on_the_batch(model: Any, tokenizer: Any, batch: int) -> None:
    windows = token_windows(tokenizer, ASCII, 12)[:7]
    reference = score(model, windows, tokenizer, batch=4)
    scores = score(model, windows, tokenizer, batch=batch)
    tolerance = rounding(windows, largest_logit(model, windows))
    assert scores.nll_N == pytest.approx(reference.nll_N, rel=0, abs=tolerance)
    assert scores.bytes_N.tolist() == reference.bytes_N.tolist()


def test_each_window_is_scored_by_itself(model: Any, tokenizer: Any) -> None:
    windows = token_windows(tokenizer, ASCII, 12)[:6]
    tolerance = rounding(windows, largest_logit(model, windows))
    backwards = score(model, windows[::-1].copy(), tokenizer)
    expected = score(model, windows, tokenizer).nll_N[::-1]
    assert backwards.nll_N == pytest.approx(expected, rel=0, abs=tolerance)


@pytest.mark.parametrize("text", [ASCII, MULTIBYTE], ids=["ascii", "multibyte"])
def test_bits_per_byte_is_information_over_utf8_bytes(
    model: Any, tokenizer: Any, text: str
) -> None:
    # The same window twice, as one has no standard error; it ends where a character ends.
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    windows = np.asarray([ids, ids], dtype=np.int32)
    continuation = text.encode()[len(tokenizer.decode(ids[:1]).encode()) :]
    nll = nll_of(model, windows[0])
    measured = score(model, windows, tokenizer).measurements("test")
    tolerance = rounding(windows, largest_logit(model, windows)) / math.log(2) / len(continuation)
    expected = nll / math.log(2) / len(continuation)
    assert measured["bits_per_byte"].value == pytest.approx(expected, rel=0, abs=tolerance)
    assert measured["bits_per_byte"].unit == "bits/byte"


@pytest.mark.parametrize("text", [ASCII, MULTIBYTE, "<|end|>" + ASCII])
def test_token_bytes_are_the_utf8_bytes_of_the_text(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    lengths = token_bytes(tokenizer, len(tokenizer))
    assert lengths[ids].sum() == len(text.replace("<|end|>", "").encode())


def test_token_bytes_cover_a_vocabulary_larger_than_the_tokenizer(tokenizer: Any) -> None:
    lengths = token_bytes(tokenizer, len(tokenizer) + 5)
    assert lengths[:-5].tolist() == token_bytes(tokenizer, len(tokenizer)).tolist()
    assert lengths[-5:].tolist() == [0] * 5
    assert len(token_bytes(tokenizer, 10)) == 10


def test_perplexity_is_the_exponential_of_the_mean_loss() -> None:
    scores = WindowScores(
        nll_N=np.asarray([20.0, 40.0, 30.0]),
        bytes_N=np.asarray([10, 30, 20]),
        tokens_per_window=10,
    )
    measured = scores.measurements("validation")
    assert measured["perplexity"].value == pytest.approx(math.exp(3), rel=1e-15)
    # Standard deviation 10 over sqrt(3) windows of 10 tokens; the exponential multiplies by itself.
    error = math.exp(3) * 10 / math.sqrt(3) / 10
    assert measured["perplexity"].standard_error == pytest.approx(error, rel=1e-12)
    assert measured["bits_per_byte"].value == pytest.approx(90 / 60 / math.log(2), rel=1e-15)
    assert {(m.n, m.split) for m in measured.values()} == {(3, "validation")}


def test_the_standard_error_of_bits_per_byte_agrees_with_repeated_sampling() -> None:
    generator = np.random.default_rng(0)
    values, errors = [], []
    for _ in range(2000):
        size_N = generator.integers(20, 60, size=40)
        loss_N = size_N * 1.5 + generator.normal(0, 6, size=40)
        scores = WindowScores(nll_N=loss_N, bytes_N=size_N, tokens_per_window=10)
        measured = scores.measurements("test")["bits_per_byte"]
        values.append(measured.value)
        errors.append(measured.standard_error)
    # The spread of 2,000 repetitions is itself known to 1 / sqrt(4000); three of those, and the
    # bias of order 1 / n of the estimator.
    assert np.mean(errors) == pytest.approx(np.std(values), rel=3 / math.sqrt(4000) + 1 / 40)


@pytest.mark.parametrize("training", [True, False])
def test_the_models_mode_is_put_back(model: Any, tokenizer: Any, training: bool) -> None:
    model.train(training)
    seen = []
    handle = model.register_forward_pre_hook(lambda module, inputs: seen.append(module.training))
    score(model, token_windows(tokenizer, ASCII, 12)[:3], tokenizer)
    handle.remove()
    assert seen == [False]
    assert model.training is training
    assert all(module.training is training for module in model.modules())


def test_scoring_leaves_no_gradients_and_draws_nothing(model: Any, tokenizer: Any) -> None:
    state = torch.get_rng_state()
    score(model, token_windows(tokenizer, ASCII, 12)[:3], tokenizer)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("num", [0, 1])
def test_fewer_than_two_windows_are_refused(model: Any, tokenizer: Any, num: int) -> None:
    with pytest.raises(ValueError, match=f"at least 2 windows for a standard error, got {num}"):
        score(model, token_windows(tokenizer, ASCII, 12)[:num], tokenizer)


def test_the_bf16_forward_is_near_and_not_the_same(smoke: Path, tokenizer: Any) -> None:
    plain = load_causal_model("tiny-llama", "checkout")
    windows = token_windows(tokenizer, ASCII, 12)[:4]
    lengths = token_bytes(tokenizer, len(tokenizer))
    full, half = (
        score_windows(plain, windows, lengths, batch=4, precision=precision).nll_N
        for precision in ("no", "bf16")
    )
    assert full.tolist() != half.tolist()
    assert half == pytest.approx(full, rel=4 * 2**-8)  # 8 bits of precision, a few roundings
