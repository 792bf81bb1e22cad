"""Every number in the prose of documents and notebooks is one that a file or the code holds.

Blocks that `./rltd report` writes are held equal to the records elsewhere. Whole numbers below ten
are words; those of one decimal place or more, and larger ones, are looked up.
"""

from __future__ import annotations

import csv
import inspect
import json
import math
import re
import tomllib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from packaging.requirements import Requirement

from eval.bench.shapes import shape
from eval.evidence.glue.differences import Average, committed_glue, glue_average
from eval.evidence.images.series import reference
from eval.evidence.intervals import interval
from eval.evidence.paper.published import load_reported
from eval.evidence.report import DOCUMENTS
from eval.explain.clocks import ILLUSTRATED, authors_illustration
from eval.explain.savings import CLAIMED_SAVING, savings
from eval.paths import NOTEBOOKS, RESULTS, ROOT
from eval.record import load_records
from eval.suites import suite
from rltd_core import KeptLength

GENERATED = r"<!-- headline: .*?<!-- /headline -->|```.*?```|^    .*?$|`[^`]*`"
NAMES = r"\]\([^)]*\)|https?://\S+|arXiv [\d.]+|Figures 1 and B\.1|GPT-3 1\.3B|\b350M|1\.3B"
PRETRAINED = ("gpt_pretrain", "bert_pretrain")
NUMBER = r"(?<![\w.-])\d[\d,]*(?:\.\d+)?(?:[ ]?(?:%|B\b|M\b))?(?![\w])"


def numbers(text: str) -> set[str]:
    """Return the numbers that a reader could ask the source of."""
    text = re.sub(GENERATED, "", text, flags=re.MULTILINE | re.DOTALL)
    found = (match.strip().rstrip(",") for match in re.findall(NUMBER, re.sub(NAMES, "", text)))
    return {number for number in found if not re.fullmatch(r"\d", number)}


def prose(notebook: Path) -> str:
    cells = json.loads(notebook.read_text())["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


@cache
def fresh_machine() -> set[str]:
    with (RESULTS / "fresh_machine.csv").open() as file:
        rows = list(csv.DictReader(file))
    values = [row[name] for row in rows for name in ("minutes", "megabytes") if row[name]]
    return {f"{float(v):,.0f}" if float(v).is_integer() else v for v in values}


@cache
def timed_config() -> Any:
    return shape("gpt2-shaped").make(512).config


def caveat(name: str, pattern: str) -> str:
    """Return what a suite's own caveats state."""
    found = re.search(pattern, " ".join(suite(name, "cpu").caveats))
    assert found
    return found.group(1)


def caveat_million(name: str) -> str:
    return f"{float(caveat(name, r'([0-9.]+) M parameters')):.0f} M"


def one_of(values: Iterable[int]) -> str:
    (value,) = set(values)
    return str(value)


def reported(identifier: str) -> str:
    (row,) = [row for row in load_reported() if row.id == identifier]
    return f"{row.value:g}"


def setting(identifier: str, column: str) -> str:
    table = pd.read_csv(RESULTS / "paper" / "savings.csv").set_index("id")
    return f"{int(table[column][identifier]):,}"


def layer_tokens_a_layer(identifier: str) -> float:
    table = pd.read_csv(RESULTS / "paper" / "savings.csv")
    (place,) = table.index[table["id"] == identifier]
    of = table.loc[place]
    full = int(of["baseline_steps"] * of["batch"] * of["full"])
    return full * (1 - float(savings()["layer_token_saving_frac"][place]))


def cifar_schedule() -> KeptLength:
    return KeptLength(start=32, full=197, ramp_steps=3910, quantum=8, rounding="deepspeed")


def one_class_only() -> str:
    records = load_records(RESULTS, "bert_pretrain_sst2")
    worst = sorted(r.measurements["accuracy"].value for r in records if r.status == "ok")[:2]
    assert worst[0] == worst[1]
    return f"{worst[0]:.4f}"


def recovered_at() -> str:
    """Return the smallest kept fraction at which the authors' run is no longer poor."""
    kept = [int(p.kept) / int(p.full) for p in reference() if float(p.accuracy) > 25]
    return f"{min(kept):.1f}"


def first_full_step() -> str:
    schedule = cifar_schedule()
    return f"{next(step for step in range(5474) if schedule(step) == 197):,}"


def copa_rows() -> str:
    records = load_records(RESULTS, "gpt_pretrain")
    (found,) = {r.measurements["copa/acc"].n for r in records if "copa/acc" in r.measurements}
    return str(found)


def illustrated_tokens() -> str:
    return f"{authors_illustration()['step'].iloc[-1] * 256 * 2048 / 1e9:.0f} B"


def illustrated_interval() -> str:
    increases = (ILLUSTRATED.full - ILLUSTRATED.start) / ILLUSTRATED.quantum
    return f"{ILLUSTRATED.ramp / increases / 1e9:g} B"


def illustrated_warmup() -> str:
    table = authors_illustration()
    peak = table["step"][table["steps, tokens"].idxmax()]
    return f"{100 * peak / table['step'].iloc[-1]:.0f} %"


def confidence() -> str:
    return f"{100 * inspect.signature(interval).parameters['confidence'].default:.0f} %"


def minimum_version(package: str) -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]["eval"]
    needed = map(Requirement, [*project["dependencies"], *extra])
    (one,) = (each for each in needed if each.name == package)
    return str(one.specifier).removeprefix(">=")


def lost_over_glue(arm: str) -> str:
    found = glue_average(committed_glue("cpu"))
    assert isinstance(found, Average)
    assert found.columns == 5
    return f"{-found.differences[arm].mean:.1f}"


IN_DOCUMENTS: dict[str, Callable[[], str]] = {
    "3.11": lambda: tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "requires-python"
    ].removeprefix(">="),
    "2.11": lambda: minimum_version("torch"),
    "5.17": lambda: minimum_version("transformers"),
    "12": lambda: str(timed_config().n_layer),
    "384": lambda: str(timed_config().n_embd),
    "8,192": lambda: f"{timed_config().vocab_size:,}",
    "0.4908": one_class_only,
    "1.44": lambda: f"{1 / math.log(2):.2f}",
    "0.1": lambda: str(suite("bert_pretrain", "cpu").arm("baseline_dropout").dropout),
    "90 %": confidence,
    "4.4 M": lambda: caveat("gpt_pretrain", r"([\d.]+ M) parameters"),
    "1.35 M": lambda: caveat("bert_pretrain", r"([\d.]+ M) parameters"),
    "300 B": lambda: caveat("gpt_pretrain", r"trains on (\d+ B) tokens"),
    "1.2 M": lambda: caveat("vit_finetune", r"([\d.]+ M) parameters"),
    "1.3 B": lambda: caveat("gpt_pretrain", r"paper's has ([\d.]+ B)"),
    "400": lambda: one_of(suite(name, "cpu").arms[0].steps for name in PRETRAINED),
    "23 M": lambda: caveat_million("bert_glue_sst2"),
    "135 M": lambda: f"{re.sub('[^0-9]', '', suite('gpt_finetune', 'cpu').arms[0].model[7:])} M",
    "19": lambda: str(len(suite("gpt_pretrain", "paper").arms[0].tasks)),
    "4.3": lambda: lost_over_glue("random_ltd"),
    "0.7": lambda: lost_over_glue("shortened_baseline"),
}
IN_NOTEBOOKS: dict[str, Callable[[], str]] = {
    "32": lambda: setting("vit-b-cifar", "start"),
    "197": lambda: setting("vit-b-cifar", "full"),
    "3,910": lambda: setting("vit-b-cifar", "ramp"),
    "5,474": lambda: setting("vit-b-cifar", "steps"),
    "192": lambda: str(cifar_schedule()(3910)),
    "3,982": first_full_step,
    "256": lambda: str(authors_illustration()["kept"].min()),
    "2,048": lambda: f"{authors_illustration()['kept'].max():,}",
    "16": lambda: str(ILLUSTRATED.quantum),
    "0.8": recovered_at,
    "30 B": illustrated_tokens,
    "0.05 B": illustrated_interval,
    "10 %": illustrated_warmup,
    "33.3 %": lambda: f"{100 * CLAIMED_SAVING:.1f} %",
    "200 B": lambda: f"{layer_tokens_a_layer('gpt3-1.3b-200b-of-300b') / 1e9:.0f} B",
    "300 B": IN_DOCUMENTS["300 B"],
    "200": lambda: str(suite("gpt_pretrain", "cpu").arms[0].task_rows),
    "100": copa_rows,
    "87.32": lambda: reported("bert-large-random-ltd-524b"),
    "87.29": lambda: reported("bert-large-baseline-1049b"),
    "19": IN_DOCUMENTS["19"],
    "90 %": confidence,
}


def test_every_number_of_the_documents_has_a_source() -> None:
    found = set().union(*(numbers(document.read_text()) for document in DOCUMENTS))
    assert found - fresh_machine() == set(IN_DOCUMENTS)


def test_every_number_of_the_notebooks_has_a_source() -> None:
    found = set().union(*(numbers(prose(path)) for path in NOTEBOOKS.glob("*.ipynb")))
    assert found == set(IN_NOTEBOOKS)


@pytest.mark.parametrize("written", IN_DOCUMENTS)
def test_a_number_of_the_documents_is_what_its_source_says(written: str) -> None:
    assert IN_DOCUMENTS[written]() == written


@pytest.mark.parametrize("written", IN_NOTEBOOKS)
def test_a_number_of_the_notebooks_is_what_its_source_says(written: str) -> None:
    assert IN_NOTEBOOKS[written]() == written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it takes 36.1 minutes and 2,480 MB,", {"36.1", "2,480"}),
        ("a third, 3 tasks, GPT-2 and 33.3 % of 30 B", {"33.3 %", "30 B"}),
        ("code `0.75` and [a link](https://x.org/1.2) of arXiv 2211.11586", set()),
    ],
)
def test_numbers_are_found(text: str, expected: set[str]) -> None:
    assert numbers(text) == expected
