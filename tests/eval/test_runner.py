"""A suite: what is done is skipped, what failed is kept, the rest runs side by side."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from eval import runner
from eval.errors import UserError
from eval.paths import RESULTS
from eval.pool import Job, Pool
from eval.record import load_records
from eval.runner import plan, run, run_suite, run_suites, stored
from eval.spec import Suite
from eval.suites import suite
from eval.train import Journal
from eval.worker import _Reporter
from tests.eval.experiments import ARMS, arm, smoke_optimization, whole_run

DIVERGING = replace(arm("baseline"), arm="diverging", optimization=smoke_optimization(peak_lr=1e30))


def with_arms(*experiments: Any) -> Suite:
    return replace(suite("gpt_finetune", "smoke"), arms=experiments)


@dataclass
class Ran:
    """A suite of a good arm and a diverging one, after its processes ended."""

    suite: Suite
    out: Path
    error: str

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Return every file with its time and content."""
        found = [p for p in self.out.rglob("*") if p.is_file()]
        return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in found}


@pytest.fixture(scope="module")
def _ran(smoke_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    out = tmp_path_factory.mktemp("suite") / "out"
    declared = with_arms(DIVERGING, arm())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLTD_CACHE", str(smoke_cache))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr(runner, "OUT", out)
        with pytest.raises(UserError) as caught:
            run_suite(declared, seeds=[0], store=out, workers=2)
    return Ran(declared, out, str(caught.value))


@pytest.fixture
def ran(_ran: Ran, smoke: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Return what is left of the suite that ran, and start no further process."""
    monkeypatch.setattr(runner, "OUT", _ran.out)
    monkeypatch.setattr(Pool, "run", lambda self, title: pytest.fail("a process was started"))
    return _ran


def test_a_failed_run_is_reported_and_does_not_stop_the_others(ran: Ran) -> None:
    assert ran.error.startswith("diverging seed 0: the loss is nan at step")
    assert "\n" not in ran.error
    records = load_records(ran.out, "gpt_finetune")
    states = {r.experiment.arm: r.status for r in records}
    assert states == {"random_ltd": "ok", "diverging": "failed"}


def test_a_run_in_a_process_gives_the_numbers_of_a_run_in_this_one(
    ran: Ran, tmp_path: Path
) -> None:
    here = whole_run(arm(), tmp_path)
    (there,) = stored(ran.out, with_arms(arm()), [0])
    assert there.measurements == here.measurements
    assert there.hashes == here.hashes
    assert there.key == here.key


def test_a_finished_run_is_skipped_and_its_files_stay_as_they_are(ran: Ran) -> None:
    before = ran.files()
    assert plan([arm()], [0], ran.out) == []
    (record,) = run_suite(with_arms(arm()), seeds=[0], store=ran.out)
    assert record.status == "ok"
    assert ran.files() == before


def test_finished_runs_leave_nothing_to_continue(ran: Ran) -> None:
    work = ran.out / "work" / "gpt_finetune"
    assert [p.name.split("-")[0] for p in work.iterdir()] == ["diverging"]


def test_a_failed_run_is_not_run_again_unless_asked(ran: Ran) -> None:
    assert plan([DIVERGING], [0], ran.out) == []
    (job,) = plan([DIVERGING], [0], ran.out, retry_failed=True)
    assert job.experiment == DIVERGING
    with pytest.raises(UserError, match=r"diverging seed 0 failed: .*the loss is nan") as caught:
        run_suite(ran.suite, seeds=[0], store=ran.out)
    assert "--retry-failed runs it again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_that_is_named_twice_is_done_once(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[list[Job]] = []
    monkeypatch.setattr(runner, "_carry_out", lambda jobs, *_, **__: begun.append(jobs))
    monkeypatch.setattr(runner, "_finished", lambda *run: run)
    run_suite(with_arms(arm()), seeds=[0, 0, 1], arms=["random_ltd", "random_ltd"], store=out)
    assert [job.seed for job in begun[0]] == [0, 1]


def test_some_arms_of_a_suite_can_be_named(ran: Ran) -> None:
    (record,) = run_suite(ran.suite, seeds=[0], arms=["random_ltd"], store=ran.out)
    assert record.experiment.arm == "random_ltd"


def test_stored_records_are_those_of_exactly_this_spec_and_these_seeds(ran: Ran) -> None:
    assert stored(ran.out, with_arms(arm(revision=2)), [0]) == []
    assert stored(ran.out, with_arms(arm()), [1]) == []
    assert len(stored(ran.out, with_arms(arm()), [0, 1])) == 1


@pytest.mark.usefixtures("smoke")
def test_runs_are_planned_seed_by_seed(out: Path) -> None:
    jobs = plan(suite("gpt_finetune", "smoke").arms, [1, 0], out)
    expected = [(seed, name) for seed in (1, 0) for name in ARMS]
    assert [(job.seed, job.experiment.arm) for job in jobs] == expected
    assert len({job.folder for job in jobs}) == len(jobs)


@pytest.mark.usefixtures("smoke")
def test_a_run_for_the_record_does_not_continue_one_that_is_not(out: Path) -> None:
    # The other's first steps may come from code that was never committed.
    (yours,), (recorded,) = (plan([arm()], [0], store) for store in (out, RESULTS))
    assert yours.folder != recorded.folder


@pytest.mark.usefixtures("smoke")
def test_a_notebook_reads_the_committed_records_unless_told_to_train(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = with_arms(arm(), arm("baseline"))
    whole_run(arm(), tmp_path)
    monkeypatch.setattr(runner, "RESULTS", tmp_path / "store")
    assert [r.seed for r in run(declared)] == [0]
    assert run(declared, seeds=[7]) == []
    assert len(run(declared, arms=["random_ltd"])) == 1
    assert run(declared, arms=["baseline"]) == []
    trained: list[object] = []
    monkeypatch.setattr(
        runner, "run_suite", lambda s, seeds, arms: trained.append((s, seeds, arms)) or []
    )
    assert run(declared, retrain=True) == run(declared, arms=["baseline"], retrain=True) == []
    assert trained == [(declared, (0,), ()), (declared, (0,), ["baseline"])]


@pytest.mark.parametrize("dirty", [True, None])
def test_records_are_committed_only_from_a_clean_checkout(
    monkeypatch: pytest.MonkeyPatch, dirty: bool | None
) -> None:
    monkeypatch.setattr(runner, "is_dirty", lambda: dirty)
    with pytest.raises(UserError, match="--record needs a clean git checkout"):
        run_suite(with_arms(arm()), seeds=[0], store=RESULTS)


class Ended:
    """A process that ended with a status."""

    def __init__(self, status: int) -> None:
        self.status = status

    def poll(self) -> int:
        return self.status


@pytest.mark.parametrize(
    ("status", "printed", "message"),
    [
        (-9, "", r"random_ltd seed 0 died \(it printed nothing\); see .*log.txt"),
        (-11, "first\nSegmentation fault\n", r"died \(Segmentation fault\); see "),
        (1, "Traceback\nUserError: no space\n", r"random_ltd seed 0: UserError: no space"),
        (3, "", "was stopped from outside; run again to continue"),
    ],
)
def test_a_process_that_did_not_finish_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, printed: str, message: str
) -> None:
    monkeypatch.setattr("eval.pool._POLL_S", 0.0)
    job = Job(arm(), 0, tmp_path / "job")
    job.folder.mkdir()
    (job.folder / "log.txt").write_text(printed)
    pool = Pool([job], store=tmp_path, workers=1, tensorboard=False)
    monkeypatch.setattr(pool, "_start", lambda job: Ended(status))
    with pytest.raises(UserError, match=message):
        pool.run("a suite")
    assert job.folder.exists()


@pytest.mark.parametrize("workers", [None, 1, 2])
def test_a_run_has_one_thread_however_many_go_beside_it(
    workers: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.pool.os.cpu_count", lambda: 8)
    environments = []
    monkeypatch.setattr(
        "eval.pool.subprocess.Popen", lambda *_, env, **__: environments.append(env) or Ended(0)
    )
    monkeypatch.setattr("eval.pool._POLL_S", 0.0)
    monkeypatch.setattr("eval.pool.shutil.rmtree", lambda folder: None)
    jobs = [Job(arm(), seed, tmp_path / str(seed)) for seed in range(3)]
    Pool(jobs, store=tmp_path, workers=workers, tensorboard=False).run("a suite")
    for job, environment in zip(jobs, environments, strict=True):
        assert json.loads((job.folder / "job.json").read_text())["threads"] == 1
        assert environment["OMP_NUM_THREADS"] == "1"


def test_a_progress_that_is_being_written_leaves_the_one_before_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(arm(), 0, tmp_path)
    assert job.progress() == (0, None)
    report = _Reporter(tmp_path / "progress.json", steps=1)
    report(Journal(step=3, curve=[{"train_loss": 1.5}]))
    assert job.progress() == (3, 1.5)
    monkeypatch.setattr("os.replace", lambda *paths: pytest.fail("the moment before"))
    with pytest.raises(pytest.fail.Exception):
        report(Journal(step=4, curve=[{"train_loss": 1.25}]))
    assert job.progress() == (3, 1.5)


def test_several_suites_share_one_pool_in_the_order_they_are_in(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools: list[tuple[str, list[str]]] = []

    def note(self: Pool, title: str) -> None:
        pools.append((title, [self._name(job) for job in self._waiting]))

    monkeypatch.setattr(Pool, "run", note)
    monkeypatch.setattr(runner, "_finished", lambda store, experiment, seed: None)
    names = ("gpt_pretrain", "gpt_finetune")
    suites = [suite(name, "smoke").with_arms(["baseline", "random_ltd"]) for name in names]
    run_suites(suites, seeds={"gpt_pretrain": [1], "gpt_finetune": [0]}, title="two")
    pretrain = [f"gpt_pretrain {name} seed 1" for name in ("baseline", "random_ltd")]
    finetune = [f"gpt_finetune {name} seed 0" for name in ("baseline", "random_ltd")]
    assert pools == [("two", pretrain + finetune)]


def test_a_run_of_several_suites_that_failed_is_an_error(ran: Ran) -> None:
    with pytest.raises(UserError, match=r"diverging seed 0 failed: .*the loss is nan"):
        run_suites([ran.suite], seeds={ran.suite.name: [0]}, title="one")
