"""The words of the report: Markdown pages and the README's headline, from a suite's records."""

from __future__ import annotations

from collections.abc import Sequence

from eval.evidence.claims.findings import sentence
from eval.evidence.contrasts import contrast_sentence, contrast_table, has_contrasts
from eval.evidence.layer_token import has_layer_token
from eval.evidence.padding import padding_sentence
from eval.evidence.paper.published import Claim, load_claims
from eval.evidence.part import Part
from eval.evidence.sentences import power_sentence, size_sentence, time_sentence
from eval.evidence.tables import (
    AGREEMENT_RULE,
    HEADLINE,
    beside_paper,
    suite_table,
    to_markdown,
    yours_beside_committed,
)
from eval.evidence.zero_shot.scores import (
    averages_line,
    has_tasks,
    zero_shot_sentence,
    zero_shot_table,
)
from eval.spec import Suite

__all__ = ["declared", "headline", "pair_answers", "suite_page", "yours_page"]


def declared(suite: Suite) -> str:
    """Return what was fixed before the runs: question, primary measurement, margin, limits."""
    lines = [f"**{suite.question}**\n", f"Primary measurement: {suite.primary}; "]
    if suite.margin is not None:
        lines[1] += f"margin {suite.margin:g}: {suite.margin_reason}.\n"
    return "\n".join(
        [*lines, *(f"- {note}" for note in (size_sentence(suite), *suite.caveats)), "", ""]
    )


def headline(parts: Sequence[Part]) -> str:
    """Return what the README shows of a suite: verdict, table, size and figure.

    Limits, the method taken apart, and cost are on the suite's page.
    """
    name = parts[0].suite.name
    lines = []
    for part in parts:
        lines += [*_verdict(part), f"- {size_sentence(part.suite)}"]
        lines += [*(f"- {note}" for note in filter(None, [padding_sentence(part)])), ""]
    kind, what = "curves", "validation loss"
    if parts[0].suite.arms[0].objective == "images":
        kind, what = "accuracy", "accuracy"
    lines += [
        f"![{name}, tier {part.tier}: {what} of every arm]"
        f"(results/summary/{name}-{part.tier}-{kind}.svg)\n"
        for part in parts
    ]
    details = (
        f"Limits, what each part of the method does, cost: [{name}](results/summary/{name}.md).\n"
    )
    return "\n".join([*lines, details])


def suite_page(parts: Sequence[Part], figures: dict[str, str]) -> str:
    """Return a suite's page; `figures` holds the Markdown of what is drawn for each tier."""
    suite = parts[0].suite
    lines = [f"# {suite.name}\n", f"{suite.question}\n"]
    for part in parts:
        table = suite_table(part.suite, part.records)
        rest = table.filter(["arm", *(name for name in table if name not in HEADLINE)])
        lines += [f"## Tier {part.tier}\n", *_answer(part)]
        lines += [f"Left out: {line}.\n" for line in part.left_out]
        if part.suite.margin is not None:
            lines += [f"Margin: {part.suite.margin:g}; {part.suite.margin_reason}.\n"]
        lines += filter(None, [power_sentence(part.suite, part.records)])
        lines += ["Cost, and measurements that decide nothing (means over the seeds):\n"]
        lines += [to_markdown(rest), *_parts_of_the_method(part), *_zero_shot(part)]
        lines += [figures[part.tier], *_beside_paper(part)]
    return "\n".join(lines)


def yours_page(parts: Sequence[tuple[Part, Part]], figures: dict[str, str]) -> str:
    """Return a page of your own runs, each part beside the committed one."""
    suite = parts[0][0].suite
    lines = [f"# {suite.name}: your runs beside the committed ones\n", f"{suite.question}\n"]
    for part, committed in parts:
        table = yours_beside_committed(part.suite, part.records, committed.records)
        known = committed.conclusion if committed.records else "There are none yet."
        lines += [f"## Tier {part.tier}\n", to_markdown(table), f"{AGREEMENT_RULE}\n"]
        lines += [f"The committed runs: {known}\n", "Yours alone:\n", *_answer(part)]
        lines += [figures[part.tier]]
    return "\n".join(lines)


def pair_answers(part: Part) -> list[str]:
    """Say, for each claim that one arm is better or as good as another, what became of it."""
    return [f"**{c.short}: {sentence(c, part)}.**\n" for c in _claims(part) if _is_pair(c, part)]


def _verdict(part: Part) -> list[str]:
    """Return what a table never comes without: what is missing, and the verdict."""
    table = suite_table(part.suite, part.records)
    shown = table.filter([name for name in HEADLINE if name in table])
    lines = [f"Incomplete: {gap}.\n" for gap in part.gaps]
    return [*lines, f"**{part.conclusion}**\n", to_markdown(shown)]


def _answer(part: Part) -> list[str]:
    """Return verdict and table with the arms taken apart, and the limits."""
    lines = _verdict(part)
    if has_contrasts(part.records):
        lines.append(f"{contrast_sentence(part.suite, part.records)}\n")
    lines += pair_answers(part)
    if has_tasks(part.records):
        lines.append(f"{zero_shot_sentence(part.suite, part.records)}\n")
    notes = filter(None, [size_sentence(part.suite), padding_sentence(part), *part.suite.caveats])
    lines += [*(f"- {note}" for note in notes), ""]
    time = time_sentence(part.tier, part.records)
    return [*lines, time] if time else lines


def _parts_of_the_method(part: Part) -> list[str]:
    if not has_contrasts(part.records):
        return []
    told = "Arms taken apart. Differences are paired by seed; positive is better.\n"
    if has_layer_token(part.records):
        told = (
            "Dropping and learning rate taken apart. LayerToken LR decays on the layer tokens, so "
            "that the rate stays high for longer; the LR control has that curve and drops nothing. "
            "Differences are paired by seed; positive is better.\n"
        )
    return [told, to_markdown(contrast_table(part.suite, part.records))]


def _zero_shot(part: Part) -> list[str]:
    if not has_tasks(part.records):
        return []
    told = (
        "Zero-shot, by lm-eval's own definitions: bits per byte of the right answer, which tell "
        "models apart that choose as well as chance; less is better. The baseline's mean over the "
        "seeds, and every other arm's paired difference to it with its 90 % interval; positive is "
        "better.\n"
    )
    table = to_markdown(zero_shot_table(part.suite, part.records))
    return [told, table, averages_line(part.records)]


def _claims(part: Part) -> list[Claim]:
    return [claim for claim in load_claims() if claim.suite == part.suite.name]


def _is_pair(claim: Claim, part: Part) -> bool:
    """Whether a claim is about two arms alone, of which both have finished runs."""
    done = {r.experiment.arm for r in part.records if r.status == "ok"}
    return claim.rule != "quality" and {claim.arm, claim.against} <= done


def _beside_paper(part: Part) -> list[str]:
    claims = [
        f"- Claim: {claim.claim}. Source: {claim.locator} ({claim.evidence}). "
        f"Ours at tier {part.tier}: {sentence(claim, part)}."
        for claim in _claims(part)
    ]
    table = beside_paper(part.suite, part.records)
    if table.empty:
        return [*claims, ""] if claims else []
    told = (
        "Beside the authors' numbers. Models, data and tokenizers differ: the direction of a "
        "change compares, its value does not. What was not measured here has no row of ours.\n"
    )
    return [told, to_markdown(table), *claims, ""]
