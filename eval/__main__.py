"""The command line: `./rltd VERB`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from eval import commands
from eval.errors import UserError

__all__ = ["VERBS", "main", "parser"]

VERBS = {
    "reproduce": "fetch, run one seed of each headline suite, execute the notebooks, report",
    "test": "lint, types, tests, every notebook at the smoke tier",
    "lab": "open the notebooks in JupyterLab",
    "list": "the suites, their arms and seeds",
    "run": "run a suite, or some of its arms and seeds",
    "status": "what is done, under way, failed or missing",
    "report": "rebuild tables, figures and the documents' blocks from the committed records",
    "plan": "what a suite would cost: tokens, FLOPs, GPU hours, memory",
    "bench": "time training steps with and without dropping, interleaved",
    "eval-model": "score any checkpoint with lm-eval, on the tasks of the paper",
    "assets": "the packages with weights and data: list or fetch them",
    "doctor": "what this machine has, what is missing, and the remedy",
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    top = argparse.ArgumentParser(prog="rltd", description="The random-LTD reproduction suite.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    by_name = {
        name: verbs.add_parser(name, help=text, description=text) for name, text in VERBS.items()
    }
    _reproduce_options(by_name["reproduce"])
    _run_options(by_name["run"])
    _plan_options(by_name["plan"])
    _bench_options(by_name["bench"])
    _eval_model_options(by_name["eval-model"])
    by_name["test"].add_argument("pytest", nargs="*", help="arguments for pytest, then run alone")
    _report_options(by_name["report"])
    by_name["status"].add_argument("suite", nargs="?", help="all, a line each, unless named")
    by_name["status"].add_argument("--folder", help="released data, of suites that read it")
    by_name["assets"].add_argument(
        "--fetch", nargs="+", metavar="NAME", help="fetch these, or `all`, into the cache"
    )
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. What the user can mend is one line on stderr and exit status 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["test"] and not {"-h", "--help"} & set(words):
        options = argparse.Namespace(verb="test", pytest=words[1:])  # pytest's options, not ours
    else:
        options = parser().parse_args(words)
    command = getattr(commands, options.verb.replace("-", "_").replace("list", "list_suites"))
    try:
        return command(options)
    except UserError as error:
        print(f"rltd: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # what we print into, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("rltd: interrupted; the same command continues where it stopped", file=sys.stderr)
        return 130


def _report_options(report: argparse.ArgumentParser) -> None:
    report.add_argument(
        "--execute", action="store_true", help="execute the notebooks into results/executed, too"
    )
    report.add_argument(
        "--png", action="store_true", help="write the figures as PNG into out/figures, too"
    )


def _reproduce_options(reproduce: argparse.ArgumentParser) -> None:
    reproduce.add_argument(
        "suites", nargs="*", metavar="SUITE", help="the headline's, unless named (`rltd list`)"
    )
    reproduce.add_argument(
        "--all", action="store_true", help="every seed of every arm of the evidence (hours)"
    )
    reproduce.add_argument(
        "--tier", default="cpu", choices=["smoke", "cpu"], help="smoke: minutes, proves the path"
    )
    reproduce.add_argument("--folder", help="released data, for suites that read it")
    reproduce.add_argument(
        "--retry-failed", action="store_true", help="run again what failed before"
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"needs a number of 1 or more, not {text!r}")
    return int(text)


def _run_options(run: argparse.ArgumentParser) -> None:
    add = run.add_argument
    add("suite")
    add("--tier", default="cpu", choices=["smoke", "cpu", "gpu", "paper"], help="cpu, unless named")
    add("--arms", nargs="+", default=[], help="all arms, unless named")
    add("--seeds", nargs="+", type=int, help="the suite's declared seeds, unless named")
    add("--workers", type=_positive, help="runs side by side; one per core, unless named")
    add("--source", choices=["package", "hub", "local"], help="where model and data come from")
    add("--folder", help="released data or copies of hub repositories, for --source local")
    add("--record", action="store_true", help="write into results/ (clean checkout)")
    add("--retry-failed", action="store_true", help="run again what failed before")
    add("--tensorboard", action="store_true", help="write out/tensorboard")
    add("--export", action="store_true", help="keep the trained models in out/models")


def _plan_options(plan: argparse.ArgumentParser) -> None:
    add = plan.add_argument
    add("suite")
    add(
        "--tier",
        default="paper",
        choices=["smoke", "cpu", "gpu", "paper"],
        help="paper, unless named",
    )
    add("--gpus", type=int, default=1, help="that share one run")
    add("--gpu-tflops", type=float, help="peak of a GPU in the runs' precision; an H100's if left")
    add("--mfu", type=float, default=0.4, help="model FLOPs reached, as a fraction of the peak")


def _bench_options(bench: argparse.ArgumentParser) -> None:
    add = bench.add_argument
    add("what", choices=["step"], help="step: one training step, in every arm")
    add("--tier", default="cpu", choices=["smoke", "cpu", "gpu"], help="which models")
    add(
        "--models",
        nargs="+",
        help="instead: shapes, timm:MODEL, folders or hub repositories",
    )
    add("--kept", nargs="+", type=float, default=[0.5, 0.25], help="kept fractions of the length")
    add("--rounds", type=int, default=20, help="steps of every arm")
    add("--length", type=int, help="tokens of a sequence, for --models")
    add("--batch", type=int, help="sequences of a step, for --models")
    add("--device", choices=["cpu", "cuda"], help="cuda at tier gpu, else cpu, unless named")
    add("--precision", choices=["float32", "bfloat16"], help="bfloat16 on cuda, unless named")
    add("--threads", type=int, help="of the CPU; else OMP_NUM_THREADS, else one per core")
    add("--record", action="store_true", help="write into results/bench (clean checkout)")


def _eval_model_options(eval_model: argparse.ArgumentParser) -> None:
    add = eval_model.add_argument
    add(
        "model",
        nargs="?",
        help="a folder with a checkpoint, a hub repository, or a model of this suite; without it "
        "the tasks are listed",
    )
    add("--tasks", nargs="+", default=["all"], help="lm-eval's names; all 20 unless named")
    add("--rows", type=int, help="the first rows of each task; all unless given")
    add("--source", nargs="+", choices=["package", "local", "hub"], help="in this order")
    add("--folder", help="copies of hub repositories, for the source local")
    add("--batch", type=int, default=16, help="requests at once")
    add("--precision", choices=["float32", "bfloat16"], default="float32", help="of the forward")
    add("--record", action="store_true", help="write into results/zero_shot (clean checkout)")


if __name__ == "__main__":
    sys.exit(main())
