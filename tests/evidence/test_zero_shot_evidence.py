"""Zero-shot evidence: by task and arm, paired by seed; positive is better."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from eval.data.task_data import AVERAGED, TASK_DATA
from eval.evidence.intervals import interval
from eval.evidence.pages import suite_page
from eval.evidence.part import part_of
from eval.evidence.plots import save
from eval.evidence.report import build
from eval.evidence.tables import suite_table, to_markdown
from eval.evidence.zero_shot.plot import bars_data, plot_zero_shot
from eval.evidence.zero_shot.scores import (
    ANSWER_BITS,
    FEWER_BITS,
    MEAN_OF_TASKS,
    average_line,
    averages_line,
    has_tasks,
    score_table,
    tasks_of,
    zero_shot_data,
    zero_shot_sentence,
    zero_shot_table,
)
from tests.evidence.synthetic import make_failed, make_records, make_suite, write_store
from tests.evidence.zero_shot_records import (
    ARMS,
    CHOSEN,
    LABELS,
    TASKS,
    differences,
    evidence,
    scored,
    value,
)


def test_a_row_holds_the_baselines_mean_and_the_paired_differences() -> None:
    suite, records = evidence()
    table = zero_shot_table(suite, records)
    assert list(table.columns) == ["task", "split", "rows", *LABELS]
    assert list(table["task"]) == [*CHOSEN, MEAN_OF_TASKS]
    for task, row in zip(CHOSEN, table.to_dict("records"), strict=False):
        values = [value(records, "baseline", seed, f"{task}/{ANSWER_BITS}") for seed in range(5)]
        assert row["baseline"] == f"{fmean(values):.4f}"
        for arm, label in zip(ARMS[1:], LABELS[1:], strict=True):
            assert row[label] == str(interval(differences(records, arm, [task])))
    assert list(table["split"]) == ["validation", "test", "validation", ""]
    assert list(table["rows"][:2]) == ["first 20 of 100", "first 20 of 5,153"]


def test_the_last_row_is_the_mean_over_the_tasks() -> None:
    suite, records = evidence()
    row = zero_shot_table(suite, records).to_dict("records")[-1]
    for arm, label in zip(ARMS[1:], LABELS[1:], strict=True):
        assert row[label] == str(interval(differences(records, arm, CHOSEN)))
    baseline = [
        value(records, "baseline", s, f"{t}/{ANSWER_BITS}") for s in range(5) for t in CHOSEN
    ]
    assert row["baseline"] == f"{fmean(baseline):.4f}"


def test_what_is_better_by_construction_has_a_positive_sign() -> None:
    suite, records = evidence()
    for row in zero_shot_table(suite, records).to_dict("records"):
        assert row["random-LTD"].startswith("+0.0")
        assert row["shortened baseline"].startswith("-0.")


def test_seeds_are_paired() -> None:
    suite, records = evidence()
    low, high = interval_of(zero_shot_table(suite, records)["random-LTD"].iloc[-1])
    assert high - low < 0.01  # the seeds alone spread over two bits
    lone = [r for r in records if (r.experiment.arm, r.seed) != ("random_ltd", 2)]
    lost = [*lone, make_failed(suite.arm("random_ltd"), 2)]
    kept = [r for r in records if r.seed != 2]
    for task, cell in zip(CHOSEN, zero_shot_table(suite, lost)["random-LTD"], strict=False):
        assert cell == str(interval(differences(kept, "random_ltd", [task])))


def interval_of(cell: str) -> tuple[float, float]:
    low, high = cell.partition("[")[2].rstrip("]").split(", ")
    return float(low), float(high)


def test_one_seed_has_a_difference_and_no_interval() -> None:
    suite, records = evidence(seeds=(3,))
    table = zero_shot_table(suite, records)
    assert list(table["random-LTD"]) == [
        f"{differences(records, 'random_ltd', tasks)[0]:+.4f}"
        for tasks in [*([t] for t in CHOSEN), CHOSEN]
    ]
    assert not {"low", "high"} & set(zero_shot_data(suite, records))


def test_an_arm_without_a_common_seed_has_an_empty_cell() -> None:
    suite, records = evidence(seeds=(0, 1))
    of = {"baseline": 0, "random_ltd": 1, "shortened_baseline": 0}
    apart = [r for r in records if r.seed == of[r.experiment.arm]]
    table = zero_shot_table(suite, apart)
    assert list(table["random-LTD"]) == [""] * 4
    assert all(cell.startswith("-0.") for cell in table["shortened baseline"])


def test_a_suite_whose_baseline_has_not_finished_still_has_a_page() -> None:
    suite, records = evidence()
    part = part_of(suite, [r for r in records if r.experiment.arm != "baseline"])
    assert "no finished run of baseline seed 0" in suite_page([part], {"cpu": ""})


def test_the_numbers_drawn_are_means_and_paired_differences_over_the_seeds() -> None:
    suite, records = evidence()
    data = zero_shot_data(suite, records)
    assert len(data) == 3 * (3 + 1) + 2 * 3  # wikitext has no right answers, the baseline no less
    assert list(data["arm"].unique()) == list(ARMS)
    for row in data.to_dict("records"):
        name = f"{row['task']}/{row['measurement']}"
        if row["measurement"] == FEWER_BITS:
            values = differences(records, row["arm"], [row["task"]])
            assert pd.isna(row["chance"])
        else:
            values = [value(records, row["arm"], seed, name) for seed in range(5)]
            chance = TASK_DATA[row["task"]].chance
            assert (None if pd.isna(row["chance"]) else row["chance"]) == chance
        found = interval(values)
        assert (row["n"], row["mean"]) == (5, pytest.approx(fmean(values), rel=1e-14))
        assert (row["low"], row["high"]) == (found.low, found.high)
    shuffled = random.Random(0).sample(records, len(records))
    pd.testing.assert_frame_equal(zero_shot_data(suite, shuffled), data)
    pd.testing.assert_frame_equal(zero_shot_table(suite, shuffled), zero_shot_table(suite, records))


@pytest.mark.parametrize("seeds", [(0, 1, 2, 3, 4), (0,)])
def test_the_figure_is_drawn_from_the_numbers_and_repeated_byte_for_byte(
    tmp_path: Path, seeds: Sequence[int]
) -> None:
    suite, records = evidence(seeds)
    data = bars_data(suite, records, tmp_path)
    made = []
    for name in ("one", "two"):
        figure = plot_zero_shot(suite, records, tmp_path)
        svg, table = save(figure, tmp_path / name / "zero-shot", data)
        made.append((svg.read_bytes(), table.read_bytes()))
    assert made[0] == made[1]
    left, right = figure.axes
    scores = data[(data["measurement"] != FEWER_BITS) & (data["task"] != "wikitext")]
    drawn = sorted(bar.get_width() for bar in left.patches)
    assert drawn == pytest.approx(sorted(100 * scores["mean"]))
    points = [x for line in right.lines if len(line.get_xdata()) == 3 for x in line.get_xdata()]
    fewer = data[data["measurement"] == FEWER_BITS]
    assert sorted(points) == sorted(fewer["mean"])
    ends = [
        end
        for lines in right.collections
        for (a, _), (b, _) in lines.get_segments()
        for end in (a, b)
    ]
    assert sorted(ends) == sorted([*fewer.get("low", []), *fewer.get("high", [])])
    assert [label.get_text() for label in left.get_yticklabels()] == [
        task.replace("_", " ") for task in CHOSEN
    ]
    over = "mean over 5 seeds, 90 % Student-t interval" if len(seeds) > 1 else "one seed"
    assert over in figure.get_suptitle()
    assert plt.get_fignums() == []


def test_arms_that_are_not_of_the_verdict_are_not_drawn(tmp_path: Path) -> None:
    suite, records = evidence()
    more = [
        dataclasses.replace(
            r, key=f"x{r.seed}", experiment=dataclasses.replace(r.experiment, arm="lr_control")
        )
        for r in records
        if r.experiment.arm == "baseline"
    ]
    assert "lr_control" in set(zero_shot_data(suite, [*records, *more])["arm"])
    assert set(bars_data(suite, [*records, *more], tmp_path)["arm"]) == set(ARMS)
    assert "LR control" in zero_shot_table(suite, [*records, *more])


def test_task_measurements_stay_out_of_the_general_table() -> None:
    suite, records = evidence()
    table = suite_table(suite, records)
    assert not [name for name in table if "/" in name.partition(" (")[0]]
    plain = suite_table(make_suite(), make_records(make_suite()))
    pd.testing.assert_frame_equal(table, plain)


def test_only_tasks_that_all_runs_have_are_shown() -> None:
    suite, records = evidence()
    assert has_tasks(records)
    assert tasks_of(records) == tuple(sorted(TASKS))
    fewer = [scored(make_records(make_suite())[0], ("copa", "rte")), *records[1:]]
    assert tasks_of(fewer) == ("copa",)
    assert not has_tasks(make_records(make_suite()))
    assert tasks_of([]) == ()
    assert not has_tasks([make_failed(suite.arm("baseline"), 0)])


@pytest.mark.parametrize("tasks", [True, False])
def test_pages_have_the_part_only_where_there_are_scores(tmp_path: Path, tasks: bool) -> None:
    suite, records = evidence() if tasks else (make_suite(), make_records(make_suite()))
    store, summary, readme = tmp_path / "store", tmp_path / "summary", tmp_path / "README.md"
    write_store(store, records)
    readme.write_text("no block\n")
    build(store, summary, readme, find=lambda name, tier: suite)
    page = (summary / "gpt_finetune.md").read_text()
    for words in ("Zero-shot, by lm-eval", MEAN_OF_TASKS, "No average", "gpt_finetune-cpu-zero"):
        assert (words in page) == tasks
    assert (summary / "gpt_finetune-cpu-zero-shot.svg").exists() == tasks
    assert "Dropping and learning rate taken apart" not in page
    if tasks:
        table = to_markdown(zero_shot_table(suite, records))
        assert table in page
        assert "first 20 of 100" in table


def test_the_scores_of_one_model_stand_beside_chance() -> None:
    _, records = evidence()
    first = records[0]
    origin = first.provenance["zero_shot"]["tasks"]
    table = score_table(origin, first.measurements).set_index("task")
    copa = table.loc["copa"]
    assert (copa["rows"], copa["metric"], copa["chance"]) == ("first 20 of 100", "acc", "50.0 %")
    assert copa["score (standard error)"] == "40.0 (1.0) %"
    assert table.loc["lambada_openai", "chance"] == ""
    bits = first.measurements["wikitext/bits_per_byte"].value
    assert (
        table.loc["wikitext", "right answer, bits per byte (standard error)"]
        == f"{bits:.4f} (0.01)"
    )


def test_the_average_is_the_mean_of_all_nineteen() -> None:
    record = scored(make_records(make_suite())[0], tuple(TASK_DATA), rows=None)
    origin = record.provenance["zero_shot"]["tasks"]
    assert average_line(origin, record.measurements).startswith("Average of the 19 tasks: 40.0.")
    some = {t: o for t, o in origin.items() if t != AVERAGED[0]}
    assert "here without hellaswag.\n" in average_line(some, record.measurements)
    origin["rte"]["rows"] = 200
    assert "here the first rows only of rte.\n" in average_line(origin, record.measurements)


def test_a_suites_average_is_every_arms_over_its_seeds() -> None:
    suite = make_suite()
    whole = [scored(r, tuple(TASK_DATA), rows=None) for r in make_records(suite)]
    said = averages_line(whole)
    assert said.startswith(
        "Average of the 19 tasks: baseline 42.0 (n = 5), random-LTD 47.0 (n = 5), "
        "shortened baseline 32.0 (n = 5). "
    )
    whole[-1].provenance["zero_shot"]["tasks"]["rte"]["rows"] = 200
    assert averages_line(whole).endswith("here the first rows only of rte.\n")
    assert averages_line(whole[:1]).startswith("Average of the 19 tasks: baseline 40.0 (n = 1).")


def test_the_sentence_counts_tasks_by_their_intervals() -> None:
    suite, records = evidence()
    said = zero_shot_sentence(suite, records)
    assert "better than the baseline on 3 of 3 tasks, worse on 0, undecided" in said
    mean = interval(differences(records, "random_ltd", CHOSEN))
    assert said.endswith(f"mean of the tasks {mean}.")
    swapped = {"baseline": "random_ltd", "random_ltd": "baseline"}
    turned = [
        dataclasses.replace(
            r, experiment=dataclasses.replace(r.experiment, arm=swapped[r.experiment.arm])
        )
        for r in records
        if r.experiment.arm in swapped
    ]
    assert "on 0 of 3 tasks, worse on 3" in zero_shot_sentence(suite, turned)
    assert zero_shot_sentence(*evidence(seeds=(1,))).startswith("Zero-shot: one seed")
