"""The main job: fetch, run the headline suites, execute the notebooks, report."""

from __future__ import annotations

import os
from collections.abc import Sequence

from eval.data.assets import ASSETS, Asset
from eval.data.fetch import fetch, is_fetched
from eval.data.glue_files import PACKAGED_GLUE
from eval.data.images import image_set
from eval.data.task_packages import PACKAGED
from eval.data.text import CORPORA
from eval.evidence.report import yours
from eval.evidence.stats import JUDGED
from eval.models import MODELS
from eval.notebooks import execute_all
from eval.paths import OUT, RESULTS, shown
from eval.runner import plan, run_suite, stored
from eval.spec import Experiment, Suite, Tier
from eval.suites import HEADLINE, suite

__all__ = ["packages_of", "reproduce"]


def reproduce(*, tier: Tier, everything: bool) -> int:
    """Do the main job: one seed of the arms that verdicts compare, or every seed of every arm.

    What is done already is skipped, so an interrupted one continues. All it makes lies in `out/`;
    committed records are only compared with.
    """
    suites = [suite(name, tier) for name in HEADLINE]
    if not everything:
        suites = [s.with_arms(JUDGED) for s in suites]
    seeds = {s.name: s.seeds if everything else s.seeds[:1] for s in suites}
    missing = [a for a in packages_of(suites) if not is_fetched(a)]
    for line in _announcement(suites, seeds, missing):
        print(line, flush=True)
    for wanted in missing:
        print(f"fetching {wanted.name} ({wanted.size_bytes / 1e6:.0f} MB)", flush=True)
        fetch(wanted.name)
    for each in suites:
        run_suite(each, seeds=seeds[each.name])
    print("executing the notebooks", flush=True)
    (first,) = {s.seeds[0] for s in suites}  # what the notebooks share
    parameters = {"tier": tier, "arms": () if everything else JUDGED, "retrain": True}
    parameters["seeds"] = None if everything else [first]
    for path in execute_all(OUT / "notebooks", parameters):
        print(f"  {shown(path)}", flush=True)
    for line in yours(suites):
        print(line)
    return 0


def packages_of(suites: Sequence[Suite]) -> list[Asset]:
    """Return the package assets that the suites read."""
    arms = [e for s in suites for e in s.arms]
    arms += [e.pretrained for e in arms if e.pretrained is not None]
    names = {
        MODELS[e.model].asset for e in arms if e.weights_source == "package" and e.model in MODELS
    }
    for e in arms:
        if e.source == "package":
            names |= _of_data(e)
            names |= {PACKAGED[task][0] for task in e.tasks}
    return [entry for name, entry in ASSETS.items() if name in names]


def _of_data(experiment: Experiment) -> set[str | None]:
    if experiment.objective == "images":
        return {image_set(experiment.data).package}
    if experiment.objective == "labels":
        return set(PACKAGED_GLUE[experiment.data].values())
    return {CORPORA[experiment.data].asset}


def _announcement(
    suites: Sequence[Suite], seeds: dict[str, tuple[int, ...]], missing: Sequence[Asset]
) -> list[str]:
    megabytes = sum(a.size_bytes for a in missing) / 1e6
    lines = [f"This fetches {megabytes:.0f} MB, then runs, side by side on {os.cpu_count()} cores:"]
    for each in suites:
        jobs = plan(each.arms, seeds[each.name], OUT)
        total = len(each.arms) * len(seeds[each.name])
        lines.append(
            f"  {each.name} [{each.arms[0].tier}]: {len(jobs)} of {total} runs to do"
            f"{_duration(each, len(jobs))}"
        )
    lines.append("then executes the notebooks and reports yours beside the committed records.")
    lines.append("Ctrl-C stops it; the same command continues.")
    return lines


def _duration(each: Suite, num_jobs: int) -> str:
    """Estimate from the committed records, which say what a run took of one core."""
    records = [r for r in stored(RESULTS, each, each.seeds) if r.cost is not None]
    seconds = [r.cost.train_cpu_s + r.cost.eval_wall_s for r in records if r.cost is not None]
    if not seconds or not num_jobs:
        return ""
    rounds = -(-num_jobs // (os.cpu_count() or 1))
    minutes = rounds * (sum(seconds) / len(seconds) + 60) / 60  # a minute to load and to save
    return f", about {minutes:.0f} minutes at the speed of the machine that made the records"
