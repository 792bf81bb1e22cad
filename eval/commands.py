"""What each verb of the command line does. Heavy imports wait until a verb needs them."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import Namespace
from contextlib import nullcontext
from dataclasses import replace

from eval.data.assets import ASSETS
from eval.errors import UserError
from eval.paths import NOTEBOOKS, OUT, RESULTS, ROOT, cache_dir, local_copies, shown
from eval.spec import from_source, on_cpu
from eval.suites import SUITES, suite

__all__ = [
    "assets",
    "bench",
    "doctor",
    "eval_model",
    "lab",
    "list_suites",
    "plan",
    "report",
    "reproduce",
    "run",
    "status",
    "test",
]


def reproduce(options: Namespace) -> int:
    """Do the main job, from the download to the report."""
    from eval.reproduce import reproduce as do

    with local_copies(options.folder):
        return do(
            tier=options.tier,
            everything=options.all,
            names=options.suites,
            retry_failed=options.retry_failed,
        )


def test(options: Namespace) -> int:
    """Lint, check types and run the tests; with arguments, pytest alone."""
    python = [sys.executable, "-m"]
    if options.pytest:
        return subprocess.call([*python, "pytest", *options.pytest], cwd=ROOT)
    for command in (
        [*python, "ruff", "check", "."],
        [*python, "ruff", "format", "--check", "."],
        [*python, "pyright"],
        [*python, "pytest", *_side_by_side()],
    ):
        print("+ " + " ".join(command[2:]), flush=True)
        if code := subprocess.call(command, cwd=ROOT):
            return code
    return 0


def _side_by_side() -> list[str]:
    """Return pytest's arguments for as many processes as there are cores, up to four.

    Each takes about 2 GB; tests of a file, and those of the documents, stay in one process.
    """
    return ["-n", str(min(os.cpu_count() or 1, 4)), "--dist", "loadgroup"]


def lab(options: Namespace) -> int:
    """Open JupyterLab on the notebooks."""
    return subprocess.call([sys.executable, "-m", "jupyterlab"], cwd=NOTEBOOKS)


def list_suites(options: Namespace) -> int:
    """Print every suite with its tiers, arms and seeds."""
    for name, tiers in SUITES.items():
        print(f"{name}: {tiers.question}")
        for tier in tiers.declared:
            declared = suite(name, tier)
            arms = ", ".join(e.arm for e in declared.arms)
            print(f"  {tier:5} seeds {', '.join(map(str, declared.seeds))}; arms {arms}")
    return 0


def run(options: Namespace) -> int:
    """Run a suite or part of it."""
    from eval.runner import run_suite

    if options.folder and options.source != "local":
        raise UserError("--folder is for --source local; give both, or neither")
    declared = suite(options.suite, options.tier)
    if options.source:
        arms = tuple(from_source(e, options.source) for e in declared.arms)
        declared = replace(declared, arms=arms)
    with local_copies(options.folder):
        records = run_suite(
            declared,
            seeds=declared.seeds if options.seeds is None else options.seeds,
            arms=options.arms,
            store=RESULTS if options.record else OUT,
            workers=options.workers,
            retry_failed=options.retry_failed,
            tensorboard=options.tensorboard,
            export=options.export,
        )
    for record in records:
        measurement = record.measurements[declared.primary]
        unit = "" if measurement.unit == "fraction" else f" {measurement.unit}"
        print(
            f"{record.experiment.arm:24} seed {record.seed}: {declared.primary} "
            f"{measurement.value:.4f}{unit}"
        )
    if not options.record:
        beside = (
            f"; beside the committed ones: ./rltd reproduce {declared.name} --tier {options.tier}"
        )
        print(f"records: {shown(OUT / 'runs' / declared.name)}" + beside * on_cpu(options.tier))
    return 0


def status(options: Namespace) -> int:
    """Print, for each suite or arm and store, what is done, under way, failed or missing."""
    from eval.status import arm_by_arm, overview

    with local_copies(options.folder):
        for line in arm_by_arm(options.suite) if options.suite else overview():
            print(line)
    return 0


def report(options: Namespace) -> int:
    """Rebuild everything that is computed from the committed records."""
    from eval.evidence.canvas import also_png
    from eval.evidence.html_report import html_of_committed
    from eval.evidence.report import build

    with also_png(OUT / "figures") if options.png else nullcontext():
        for line in build():
            print(line)
    print(f"wrote {shown(html_of_committed())}")
    if options.execute:
        from eval.notebooks import all_notebooks, execute

        for path in all_notebooks():
            print(shown(execute(path, RESULTS / "executed", {})))
    return 0


def plan(options: Namespace) -> int:
    """Print what a suite would cost."""
    from eval.plan import Machine, plan_lines

    machine = Machine(gpus=options.gpus, tflops=options.gpu_tflops, utilisation=options.mfu)
    for line in plan_lines(suite(options.suite, options.tier), machine):
        print(line)
    return 0


def bench(options: Namespace) -> int:
    """Time training steps and print the ratios."""
    from eval.bench.command import bench_step

    return bench_step(options)


def eval_model(options: Namespace) -> int:
    """Score a checkpoint on the zero-shot tasks."""
    from eval.model_eval.command import eval_model as do

    return do(options)


def assets(options: Namespace) -> int:
    """List the assets, or fetch some."""
    from eval.data.fetch import fetch, is_fetched

    if options.fetch:
        names = list(ASSETS) if options.fetch == ["all"] else options.fetch
        for name in names:
            print(f"{name}: {fetch(name)}")
        return 0
    for entry in ASSETS.values():
        where = "in the cache" if is_fetched(entry) else f"{entry.size_bytes / 1e6:.0f} MB to fetch"
        print(f"{entry.name}  [{entry.registry}: {entry.package} {entry.version}]  {where}")
        for text in (entry.contents, f"licence: {entry.licence}", f"caveat: {entry.caveats}"):
            print(f"    {text}")
    print(f"cache: {cache_dir()}")
    return 0


def doctor(options: Namespace) -> int:
    """Print what the machine has and what is missing; exit 1 if something is."""
    from eval.doctor import examine

    findings = examine()
    for finding in findings:
        print(finding)
    return int(any(finding.remedy for finding in findings))
