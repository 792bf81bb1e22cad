"""The command line: one frozen list of verbs, and one line for what the user can mend."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from eval import commands
from eval.__main__ import VERBS, main, parser
from eval.data.assets import ASSETS
from eval.doctor import Finding
from eval.execute import execute
from eval.paths import ROOT
from eval.suites import HEADLINE, SUITES
from tests.eval.experiments import ARMS, arm
from tests.eval.packages import declare, put_by_hand, zip_bytes

FROZEN = {
    "reproduce",
    "test",
    "lab",
    "list",
    "run",
    "status",
    "report",
    "plan",
    "bench",
    "eval-model",
    "assets",
    "doctor",
}
NEEDED = {"run": ["a_suite"], "plan": ["a_suite"], "bench": ["step"]}
SMOKE = ["run", "gpt_finetune", "--tier", "smoke"]


def test_the_verbs_are_the_frozen_ones() -> None:
    assert set(VERBS) == FROZEN


@pytest.mark.parametrize("verb", sorted(FROZEN))
def test_every_verb_has_a_command_and_a_line_of_help(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "list_suites" if verb == "list" else verb.replace("-", "_")
    assert name in commands.__all__
    monkeypatch.setattr(commands, name, lambda options: 7)
    assert main([verb, *NEEDED.get(verb, [])]) == 7
    shown = "".join(parser().format_help().split())  # lines break after hyphens, too
    assert "".join(VERBS[verb].split()) in shown


@pytest.mark.usefixtures("smoke")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nonsense"], "unknown suite 'nonsense'; ./rltd list names all"),
        (["status", "bert_glue_sst"], "did you mean bert_glue_sst2 or "),
        ([*SMOKE, "--arms", "nonsense"], "no arm 'nonsense'; it has "),
        (["run", "gpt_finetune", "--tier", "gpu"], "is declared at smoke"),
        (["assets", "--fetch", "nonsense"], "unknown asset 'nonsense'; known are "),
        ([*SMOKE, "--source", "package"], "no package carries tiny-llama"),
        ([*SMOKE, "--source", "hub"], "'tiny-llama' cannot be had from source 'hub'"),
        ([*SMOKE, "--source", "local"], "'tiny-llama' cannot be had from source 'local'"),
        ([*SMOKE, "--record"], "--record needs a clean git checkout"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_status_2(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("eval.runner.is_dirty", lambda: True)
    capsys.readouterr()
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("rltd: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*SMOKE[:-1], "huge"], "choose from 'smoke', 'cpu', 'gpu', 'paper'"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["run"], "the following arguments are required: suite"),
        ([*SMOKE, "--seeds", "x"], "invalid int value: 'x'"),
        ([*SMOKE, "--workers", "0"], "--workers: needs a number of 1 or more, not '0'"),
        ([*SMOKE, "--workers", "-1"], "--workers: needs a number of 1 or more, not '-1'"),
        ([], "the following arguments are required: VERB"),
    ],
)
def test_arguments_that_make_no_sense_end_in_one_line_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert message in last
    assert last.startswith("rltd")


def test_an_interrupt_ends_in_status_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "status", interrupted)
    assert main(["status"]) == 130
    assert capsys.readouterr().err == (
        "rltd: interrupted; the same command continues where it stopped\n"
    )


def test_an_error_in_the_code_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "status", lambda options: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        main(["status"])


def test_list_names_every_suite_tier_and_arm(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    for name, entry in SUITES.items():
        assert f"{name}: {entry.question}" in printed
    assert "  smoke seeds 0; arms baseline, random_ltd, shortened_baseline" in printed
    assert set(HEADLINE) <= set(SUITES)


@pytest.mark.usefixtures("smoke")
def test_run_prints_the_primary_measurement_of_every_run(
    out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ARMS:
        execute(
            arm(name),
            0,
            store=out,
            scratch=out / "scratch",
            on_step=lambda journal: None,
            should_stop=lambda: False,
        )
    capsys.readouterr()
    assert main(SMOKE) == 0  # all of it is done: nothing is started
    *lines, last = capsys.readouterr().out.splitlines()
    assert last.endswith("./rltd reproduce gpt_finetune --tier smoke")
    assert [line.split()[0] for line in lines] == list(ARMS)
    assert all("seed 0: bits_per_byte 4." in line for line in lines)
    assert all(line.endswith(" bits/byte") for line in lines)


def test_a_folder_of_copies_reaches_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []
    monkeypatch.setenv("RLTD_LOCAL", "")
    monkeypatch.setattr(
        "eval.runner.run_suite",
        lambda declared, **options: (
            seen.extend([os.environ["RLTD_LOCAL"], declared.arms[0].source]) or []
        ),
    )
    assert main([*SMOKE, "--source", "local", "--folder", str(tmp_path)]) == 0
    assert seen == [str(tmp_path), "local"]


def test_assets_are_listed_with_licence_caveat_and_size(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["assets"]) == 0
    printed = capsys.readouterr().out
    for name, entry in ASSETS.items():
        assert f"{name}  [{entry.registry}: {entry.package} {entry.version}]" in printed
        assert f"licence: {entry.licence}" in printed
        assert f"caveat: {entry.caveats}" in printed
        assert f"{entry.size_bytes / 1e6:.0f} MB to fetch" in printed
    assert printed.endswith(f"cache: {cache}\n")


@pytest.mark.parametrize("names", [["fake"], ["all"]])
def test_assets_are_fetched_by_name_or_all(
    cache: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    names: list[str],
) -> None:
    for name in list(ASSETS):
        monkeypatch.delitem(ASSETS, name)
    put_by_hand(cache, declare(monkeypatch, zip_bytes()), zip_bytes())
    assert main(["assets", "--fetch", *names]) == 0
    assert capsys.readouterr().out.startswith(f"fake: {cache / 'assets' / 'fake-'}")
    main(["assets"])
    assert "in the cache" in capsys.readouterr().out


def test_doctor_names_what_is_missing_and_its_remedy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor"]) == 1  # the cache of a test is empty
    printed = capsys.readouterr().out
    assert "MISSING assets" in printed
    assert "-> ./rltd assets --fetch all" in printed


def test_doctor_is_content_where_nothing_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.doctor.ASSETS", {})
    monkeypatch.setattr("eval.doctor._DISK_BYTES", 1)
    monkeypatch.setattr("eval.doctor._MEMORY_BYTES", 1)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("eval.doctor._packages", lambda: Finding("packages", "as locked"))
    assert main(["doctor"]) == 0
    assert "MISSING" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["tests/eval"], ["tests/eval"]),
        (["-m", "not slow"], ["-m", "not slow"]),
        (["tests/eval", "-k", "fetch"], ["tests/eval", "-k", "fetch"]),
    ],
)
def test_test_hands_its_arguments_to_pytest(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: list[str]
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(
        commands.subprocess, "call", lambda command, cwd: called.append([*command[2:], cwd]) or 5
    )
    assert main(["test", *arguments]) == 5
    assert called == [["pytest", *expected, ROOT]]


def test_test_alone_checks_style_types_and_tests_and_stops_at_the_first_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[str] = []
    failing = ""

    def call(command: list[str], cwd: Path) -> int:
        called.append(" ".join(command[2:]))
        return int(called[-1] == failing)

    monkeypatch.setattr(commands.subprocess, "call", call)
    monkeypatch.setattr(commands.os, "cpu_count", lambda: 64)
    steps = ["ruff check .", "ruff format --check .", "pyright", "pytest -n 4 --dist loadgroup"]
    assert main(["test"]) == 0
    assert called == steps
    called, failing = [], "pyright"
    assert main(["test"]) == 1
    assert called == steps[:3]
