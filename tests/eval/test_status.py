"""What `status` says of runs that are done, begun or impossible to name."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.__main__ import main
from eval.execute import execute
from eval.runner import plan
from eval.train import Interrupted
from tests.eval.experiments import arm


@pytest.mark.usefixtures("smoke")
def test_status_says_what_is_done_failed_and_under_way(
    out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def carry_out(name: str, *, stop: bool) -> None:
        (job,) = plan([arm(name)], [0], out)
        execute(
            arm(name),
            0,
            store=out,
            scratch=job.folder / "checkpoints",
            on_step=lambda journal: None,
            should_stop=lambda: stop,
        )

    monkeypatch.setattr("eval.status.RESULTS", out.parent / "committed")
    carry_out("baseline", stop=False)
    with pytest.raises(Interrupted):
        carry_out("random_ltd", stop=True)
    capsys.readouterr()
    assert main(["status"]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    begun = "random_ltd seed 0 at step 0"
    assert first.split("  ")[0] == "gpt_finetune [smoke]"
    assert first.endswith(f" committed 0/3; yours 1/3, {begun}")
    assert not any("committed 0/3; yours 1/3" in line for line in others)
    assert main(["status", "gpt_finetune"]) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading == "gpt_finetune [smoke]"
    mine = {line.split()[0]: line for line in lines[:3]}
    assert mine["baseline"].endswith("yours 1/1")
    assert mine["random_ltd"].endswith(" committed 0/1; yours 0/1, seed 0 at step 0")
    assert mine["shortened_baseline"].endswith("yours 0/1")


def test_status_of_suites_on_released_data_needs_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_rte(*options: str) -> str:
        assert main(["status", *options]) == 0
        lines = capsys.readouterr().out.splitlines()
        return next(line for line in lines if line.startswith("bert_glue_rte [cpu]"))

    monkeypatch.delenv("RLTD_LOCAL", raising=False)
    assert "--folder" in of_rte()
    rows = "index\tsentence1\tsentence2\tlabel\n0\tA man eats.\tA man.\tentailment\n"
    task = tmp_path / "glue" / "RTE"
    task.mkdir(parents=True)
    for split in ("train", "dev"):
        (task / f"{split}.tsv").write_text(rows)
    assert of_rte("--folder", str(tmp_path)).endswith("committed 0/15; yours 0/15")
