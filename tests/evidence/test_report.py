"""The report: rebuilt byte for byte, with what is missing said first."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from eval.errors import UserError
from eval.evidence.blocks import with_headline
from eval.evidence.report import Report, build, stale, yours
from eval.record import record_path, write_record
from tests.evidence.synthetic import (
    make_experiment,
    make_failed,
    make_record,
    make_records,
    make_suite,
    write_store,
)

README = """# Title

<!-- headline: gpt_finetune -->
an old table
<!-- /headline -->

The rest.

<!-- headline: another -->
another table
<!-- /headline -->
"""


class Place:
    """A store, a summary and a README in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.store, self.summary = folder / "store", folder / "summary"
        self.readme = folder / "README.md"
        if not self.readme.exists():
            self.readme.write_text(README)

    def build(self) -> Report:
        return build(self.store, self.summary, self.readme, find=find)

    def stale(self) -> list[str]:
        return [p.name for p in stale(self.store, self.summary, self.readme, find=find)]

    def content(self) -> dict[str, bytes]:
        paths = [self.readme, *self.summary.iterdir()]
        return {path.name: path.read_bytes() for path in paths}


def find(name: str, tier):
    assert name == "gpt_finetune"
    return make_suite(tier=tier)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="module")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    write_store(folder / "store", make_records(make_suite()))
    Place(folder).build()
    return folder


@pytest.fixture
def built(built_once: Path, tmp_path: Path) -> Place:
    """A full grid of one tier, with its report."""
    return Place(Path(shutil.copytree(built_once, tmp_path / "built")))


def test_two_builds_are_byte_identical(built: Place, place: Place):
    write_store(place.store, make_records(make_suite())[::-1])
    place.build()
    first, second = built.content(), place.content()
    assert len(first) == 22
    assert first == second
    assert b"nan" not in b"".join(first[n] for n in first if not n.endswith("svg")).lower()


@pytest.mark.parametrize("missing", [None, "dropping", "margin"])
def test_a_schedule_is_drawn_where_runs_drop_and_a_margin_judges(place: Place, missing: str | None):
    suite = make_suite()
    if missing == "margin":
        arms = tuple(dataclasses.replace(arm, suite="gpt_pilot") for arm in suite.arms)
        suite = dataclasses.replace(suite, name="gpt_pilot", arms=arms, margin=None)
    if missing == "dropping":
        kept = {arm: dataclasses.replace(arm.kept, start=arm.kept.full) for arm in suite.arms}
        arms = tuple(dataclasses.replace(arm, kept=whole) for arm, whole in kept.items())
        suite = dataclasses.replace(suite, arms=arms)
    write_store(place.store, make_records(suite))
    build(place.store, place.summary, place.readme, find=lambda name, tier: suite)
    assert (f"{suite.name}-cpu-schedule.svg" in place.content()) == (missing is None)
    assert f"{suite.name}-cpu-curves.svg" in place.content()


def test_a_rebuild_leaves_a_clean_checkout_clean(built: Place):
    assert built.stale() == []
    before = {path: path.stat().st_mtime_ns for path in built.summary.iterdir()}
    built.build()
    assert {path: path.stat().st_mtime_ns for path in built.summary.iterdir()} == before


def test_stale_names_what_a_rebuild_would_change_and_changes_nothing(built: Place):
    (built.summary / "gpt_finetune.md").write_text("edited by hand\n")
    built.readme.write_text(built.readme.read_text().replace("random-LTD", "magic"))
    (built.summary / "gpt_finetune-cpu-curves.csv").unlink()
    before = built.content()
    assert built.stale() == ["gpt_finetune-cpu-curves.csv", "gpt_finetune.md", "README.md"]
    assert built.content() == before


def test_a_page_without_records_is_stale_and_goes(built: Place):
    old = built.summary / "vit_finetune.md"
    old.write_text("of records that are gone")
    assert built.stale() == [old.name]
    assert old.exists()
    built.build()
    assert built.stale() == []
    assert not old.exists()


def test_the_readme_block_is_replaced_and_the_rest_is_untouched(built: Place):
    text = built.readme.read_text()
    begin, end = text.index("<!-- headline: gpt"), text.index("<!-- /headline -->")
    block = text[begin:end]
    assert "an old table" not in text
    assert "Supported in direction at tier cpu, n = 5 seeds" in block
    page = (built.summary / "gpt_finetune.md").read_text()
    for caveat in make_suite().caveats:
        assert f"- {caveat}" in page
    assert "(results/summary/gpt_finetune.md)" in block
    old_begin, old_end = README.index("<!-- headline: gpt"), README.index("<!-- /headline -->")
    assert text[:begin] == README[:old_begin]
    assert text[end:] == README[old_end:]


def test_an_unclosed_block_is_an_error():
    text = "<!-- headline: a -->\nx\n<!-- headline: b -->\ny\n<!-- /headline -->\n"
    with pytest.raises(UserError, match="not closed"):
        with_headline(text, "a", "new\n")
    assert "new" in with_headline(text, "b", "new\n")
    assert with_headline("no block\n", "a", "new\n") == "no block\n"


def test_missing_runs_are_named_first(place: Place):
    suite = make_suite()
    kept = [r for r in make_records(suite) if (r.experiment.arm, r.seed) != ("random_ltd", 3)]
    write_store(place.store, [*kept, make_failed(suite.arm("random_ltd"), 3)])
    report = place.build()
    line = "gpt_finetune, tier cpu: no finished run of random_ltd seed 3 (failed)"
    assert report.missing == (line,)
    assert next(iter(report)) == f"incomplete: {line}"
    page = (place.summary / "gpt_finetune.md").read_text()
    assert page.index(line) < page.index("| tier")
    assert line in place.readme.read_text()


def test_records_of_another_specification_or_seed_are_left_out_and_named(built: Place):
    suite, before = make_suite(), built.content()
    former = make_experiment("baseline", revision=0)
    old = [make_record(former, seed, 9.9, key=f"old{seed}") for seed in (0, 1)]
    pilot = make_record(suite.arm("baseline"), 100, 9.9, key="pilot")
    gone = make_record(make_experiment("an_arm_that_was"), 0, 9.9, key="gone")
    write_store(built.store, [gone, *old, pilot])
    report = built.build()
    assert report.left_out == (
        "gpt_finetune, tier cpu: another specification than the suite's: an_arm_that_was seed 0 "
        "(gone), baseline seed 0 (old0), baseline seed 1 (old1)",
        "gpt_finetune, tier cpu: a seed that the suite does not declare: baseline seed 100 (pilot)",
    )
    after = built.content()
    page = after["gpt_finetune.md"].decode()
    for line in report.left_out:
        assert f"Left out: {line}.\n" in page
        page = page.replace(f"Left out: {line}.\n\n", "")
    assert {**after, "gpt_finetune.md": page.encode()} == before


def test_each_tier_has_its_own_section(place: Place):
    for tier in ("cpu", "gpu"):
        write_store(place.store, make_records(make_suite(tier=tier)))
    place.build()
    page = (place.summary / "gpt_finetune.md").read_text()
    assert page.index("## Tier gpu") < page.index("## Tier cpu")
    table = (place.summary / "gpt_finetune.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in table] == ["tier"] + ["gpu"] * 3 + ["cpu"] * 3
    assert (place.summary / "gpt_finetune-gpu-verdict.svg").exists()


def test_only_failed_runs_still_make_a_report(place: Place):
    write_record(place.store, make_failed(make_suite().arm("baseline"), 0))
    report = place.build()
    assert "No evidence" in report.verdicts[0]
    drawn = {path.name.partition("-")[0] for path in place.summary.glob("*.svg")}
    assert drawn == {"paper"}  # which needs no runs


def test_no_records_is_an_error_with_its_remedy(place: Place):
    with pytest.raises(UserError, match=r"run \./rltd reproduce first"):
        place.build()
    with pytest.raises(UserError, match=r"run \./rltd reproduce first"):
        yours([make_suite()], place.store, place.store, place.summary, find=find)
    assert place.readme.read_text() == README


def test_yours_stands_beside_the_committed(place: Place, tmp_path: Path):
    suite, mine = make_suite(), tmp_path / "mine"
    write_store(place.store, make_records(suite))
    write_store(mine, [r for r in make_records(suite) if r.seed == 1])
    report = yours([suite], mine, place.store, mine / "report", find=find)
    page = (mine / "report" / "gpt_finetune.md").read_text()
    assert page.count("| identical |") == 3
    assert "three standard deviations" in page
    assert "The committed runs: Supported in direction at tier cpu, n = 5" in page
    assert "No evidence (tier cpu, n = 1 seed; 5 are needed)" in page
    assert report.missing == ()
    assert (mine / "report" / "gpt_finetune-cpu-curves.svg").exists()


def test_the_committed_runs_are_judged_with_the_arms_that_yours_have_not(
    place: Place, tmp_path: Path
):
    whole, mine = make_suite(), tmp_path / "mine"
    part = whole.with_arms(["baseline", "random_ltd"])
    write_store(place.store, make_records(whole))
    write_store(mine, [r for r in make_records(whole) if r.experiment in part.arms])
    yours([part], mine, place.store, mine / "report", find=find)
    page = (mine / "report" / "gpt_finetune.md").read_text()
    assert "The committed runs: Supported in direction at tier cpu, n = 5" in page
    assert "the suite has no shortened_baseline" in page.partition("Yours alone:")[2]


def test_a_seed_of_yours_that_is_not_declared_has_no_vote(place: Place, tmp_path: Path):
    suite, mine = make_suite(), tmp_path / "mine"
    experiment = suite.arm("baseline")
    seeds = (1, 99)
    write_store(mine, [make_record(experiment, seed, 1.0) for seed in seeds])
    report = yours([suite], mine, place.store, mine / "report", find=find)
    assert "No evidence (tier cpu, n = 0" in (mine / "report" / "gpt_finetune.md").read_text()
    (line,) = report.left_out
    assert "a seed that the suite does not declare: baseline seed 99 (" in line


def test_yours_works_before_anything_is_committed(place: Place, tmp_path: Path):
    suite = make_suite()
    write_store(place.store, [r for r in make_records(suite) if r.seed == 1])
    yours([suite], place.store, tmp_path / "empty", tmp_path / "report", find=find)
    page = (tmp_path / "report" / "gpt_finetune.md").read_text()
    assert "There are none yet." in page
    assert page.count("cannot say") == 3 + 1  # three rows and the rule


def test_a_damaged_record_stops_the_report(place: Place):
    suite = make_suite()
    records = make_records(suite)
    write_store(place.store, records)
    record = records[0]
    record_path(place.store, record.experiment, record.seed, record.key).write_text("{}")
    with pytest.raises(UserError, match="not a valid record"):
        place.build()
