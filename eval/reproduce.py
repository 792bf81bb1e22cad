"""The main job: fetch, run the headline suites, execute the notebooks, report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import chain
from statistics import fmean
from typing import Any

from eval.bfloat16 import has_bfloat16
from eval.data.assets import ASSETS, Asset
from eval.data.fetch import fetch, is_fetched
from eval.data.glue_files import PACKAGED_GLUE
from eval.data.images import image_set
from eval.data.task_packages import PACKAGED
from eval.data.text import CORPORA
from eval.evidence.html_report import html_of_committed
from eval.evidence.report import yours
from eval.evidence.stats import JUDGED
from eval.models.named import MODELS
from eval.notebooks import all_notebooks, execute_with_known, suites_shown
from eval.paths import OUT, RESULTS, shown
from eval.runner import plan, run_suites, stored
from eval.spec import Experiment, Suite, Tier
from eval.starts import is_committed, pretraining
from eval.suites import HEADLINE, LONG, suite

__all__ = ["packages_of", "reproduce"]


def reproduce(
    *, tier: Tier, everything: bool, names: Sequence[str] = (), retry_failed: bool = False
) -> int:
    """Do the main job: one seed of the arms that verdicts compare, or every seed of every arm.

    The headline suites, unless others are named. What is done already is skipped, so an
    interrupted one continues. All it makes lies in `out/`; committed records are only compared
    with.

    Raises: UserError for a suite that is unknown, or not declared at the tier.
    """
    suites = _suites(names or (HEADLINE if tier == "cpu" else HEADLINE + LONG), tier)
    if not everything:
        suites = [_judged(s) for s in suites]
    seeds = {s.name: s.seeds if everything else s.seeds[:1] for s in suites}
    missing = [a for a in packages_of(suites) if not is_fetched(a)]
    core_s = {s.name: _core_s(s) for s in suites}
    groups = _groups(suites, core_s)
    for line in _announcement(groups, seeds, core_s, missing):
        print(line, flush=True)
    for wanted in missing:
        print(f"fetching {wanted.name} ({wanted.size_bytes / 1e6:.0f} MB)", flush=True)
        fetch(wanted.name)
    for group in groups:
        run_suites(group, seeds=seeds, title="the suites", retry_failed=retry_failed)
    print("executing the notebooks", flush=True)
    _execute(suites, tier, everything=everything, others=not names)
    for line in yours([_done(s) for s in suites]):
        print(line)
    print(f"all committed results, as one page: {shown(html_of_committed())}")
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


def _suites(names: Sequence[str], tier: Tier) -> list[Suite]:
    """Return the suites, each once, and before them those that they begin with.

    Weights that are in the repository need no training.
    """
    found = {name: suite(name, tier) for name in names}
    runs = [(e, seed) for s in found.values() for e in s.arms for seed in s.seeds]
    begins = [b for b in (pretraining(*run) for run in runs) if b is not None]
    first = {e.suite: suite(e.suite, tier) for e, seed in begins if not is_committed(e, seed)}
    return list((first | found).values())


def _judged(each: Suite) -> Suite:
    """Return the suite with the arms that its verdict compares; with all, if there is none."""
    judged = [e.arm for e in each.arms if e.arm in JUDGED]
    return each.with_arms(judged) if judged else each


def _done(each: Suite) -> Suite:
    """Return the suite with the arms that were run, now or before."""
    whole = suite(each.name, each.arms[0].tier)
    ran = {r.experiment.arm for r in stored(OUT, whole, whole.seeds)}
    now = {e.arm for e in each.arms}
    return whole.with_arms([e.arm for e in whole.arms if e.arm in ran | now])


def _execute(suites: Sequence[Suite], tier: Tier, *, everything: bool, others: bool) -> None:
    """Execute the notebooks that show these suites alone with what was run; the `others` without.

    A notebook that shows a suite besides would train it.
    """
    seeds = {s.name: s.seeds[:1] for s in suites}
    for path in all_notebooks():
        named = suites_shown(path)
        done = bool(named) and named <= set(seeds)
        if not done and not others:
            continue
        parameters: dict[str, Any] = {"tier": tier}
        if done:
            (first,) = {seeds[name] for name in named}  # the suites of a notebook share it
            parameters |= {"retrain": True, "arms": () if everything else JUDGED}
            parameters |= {"seeds": None if everything else [*first]}
        print(f"  {shown(execute_with_known(path, OUT / 'notebooks', parameters))}", flush=True)


def _of_data(experiment: Experiment) -> set[str | None]:
    if experiment.objective == "images":
        return {image_set(experiment.data).package}
    if experiment.objective == "labels":
        return set(PACKAGED_GLUE[experiment.data].values())
    return {CORPORA[experiment.data].asset}


def _groups(suites: Sequence[Suite], core_s: Mapping[str, float]) -> list[list[Suite]]:
    """Return the suites that can run side by side, the longest runs first: then no core waits long.

    What begins with another run's weights comes second.
    """
    ordered = sorted(suites, key=lambda s: core_s[s.name], reverse=True)
    second = [s for s in ordered if any(e.pretrained is not None for e in s.arms)]
    first = [s for s in ordered if s not in second]
    return [group for group in (first, second) if group]


def _announcement(
    groups: Sequence[Sequence[Suite]],
    seeds: Mapping[str, Sequence[int]],
    core_s: Mapping[str, float],
    missing: Sequence[Asset],
) -> list[str]:
    megabytes, cores = sum(a.size_bytes for a in missing) / 1e6, os.cpu_count() or 1
    lines = [f"This fetches {megabytes:.0f} MB, then runs, side by side on {cores} cores:"]
    seconds = 0.0
    for s in chain.from_iterable(groups):
        todo, total = len(plan(s.arms, seeds[s.name], OUT)), len(s.arms) * len(seeds[s.name])
        lines.append(f"  {s.name} [{s.arms[0].tier}]: {todo} of {total} runs to do")
        seconds += todo * (core_s[s.name] + 60) / cores  # a minute to load and to save
    if seconds and any(core_s.values()):
        speed = "at the speed of the machine that made the records"
        lines.append(f"about {seconds / 60:.0f} minutes in all {speed},")
        if not has_bfloat16() and any(s.arms[0].precision == "bf16" for s in chain(*groups)):
            lines.append("longer on this one, which has no instructions for bfloat16,")
    lines.append("then executes the notebooks and reports yours beside the committed records.")
    lines.append("Ctrl-C stops it; the same command continues.")
    return lines


def _core_s(each: Suite) -> float:
    """Return what a run took of one core, on average over the committed records; 0 without any."""
    costs = [r.cost for r in stored(RESULTS, each, each.seeds) if r.cost is not None]
    return fmean(cost.train_cpu_s + cost.eval_wall_s for cost in costs) if costs else 0.0
