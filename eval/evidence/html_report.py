"""One self-contained HTML file with all pages of the report, for a desktop and for a phone."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable
from pathlib import Path
from string import Template

from markdown_it import MarkdownIt

from eval.errors import UserError
from eval.paths import OUT, RESULTS, ROOT

__all__ = ["html_of_committed", "write_html_report"]

_TEMPLATE = Path(__file__).with_name("report.template.html")
_FIRST = ("claims", "paper", "gpt_pretrain", "gpt_finetune", "bert_pretrain", "bert_pretrain_sst2")
_PILOT = re.compile(r"_(pilot|spread)(_\d+)?$")
_GROUPS = ("The answer", "Suites", "Time and tools", "Pilots")
_TOOLS = ("bench_step", "zero_shot")


def html_of_committed() -> Path:
    """Write the committed pages to `out/report.html`."""
    return write_html_report(RESULTS / "summary", ROOT / "README.md", OUT / "report.html")


def write_html_report(summary_dir: Path, readme: Path, to: Path) -> Path:
    """Write the pages of `summary_dir` as one file that loads nothing.

    Figures are inside, links between pages lead to places of the file. What the README says in
    short comes first.

    Raises: UserError if a page shows a figure that is not there.
    """
    pages = {path.stem: path.read_text() for path in summary_dir.glob("*.md")}
    markdown = MarkdownIt("commonmark").enable("table")
    sections = [_section("in_short", markdown.render(_in_short(readme)))]
    for name in _ordered(pages):
        body = _inlined(markdown.render(pages[name]), summary_dir, pages)
        sections.append(_section(name, body))
    text = Template(_TEMPLATE.read_text()).substitute(
        contents=_contents(pages), sections="\n".join(sections)
    )
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(text)
    return to


def _in_short(readme: Path) -> str:
    """Return the README's title, its first paragraph, what it says in short, and its terms.

    Links to other places of the README are left out.
    """
    text = readme.read_text()
    said = text.split("\n\n", 2)[:2]
    for part in (r"^In short.*?(?=\n\n(?!- ))", r"^## How to read the tables\n.*?(?=\n## |\Z)"):
        if found := re.search(part, text, re.MULTILINE | re.DOTALL):
            said.append(found.group(0))
    return re.sub(r"\[([^]]+)\]\((?!http)[^)]*\)", r"\1", "\n\n".join(said))


def _group(name: str) -> str:
    if name in ("claims", "paper"):
        return _GROUPS[0]
    if name in _TOOLS:
        return _GROUPS[2]
    return _GROUPS[3] if _PILOT.search(name) else _GROUPS[1]


def _ordered(names: Iterable[str]) -> list[str]:
    known = {name: place for place, name in enumerate(_FIRST)}
    return sorted(
        names, key=lambda name: (_GROUPS.index(_group(name)), known.get(name, len(known)), name)
    )


def _contents(names: Iterable[str]) -> str:
    lines = ['<a href="#in_short"><strong>random-LTD, reproduced</strong></a>']
    for group in _GROUPS:
        members = [name for name in _ordered(names) if _group(name) == group]
        links = [f'<a href="#{name}">{name}</a>' for name in members]
        if links and group == "Pilots":
            lines += [f"<details><summary>{group}</summary>", *links, "</details>"]
        elif links:
            lines += [f"<p>{group}</p>", *links]
    return "\n".join(lines)


def _section(name: str, body: str) -> str:
    wrapped = body.replace("<table>", '<div class="table"><table>')
    wrapped = wrapped.replace("</table>", "</table></div>")
    return f'<section id="{name}">\n{wrapped}</section>'


def _inlined(body: str, folder: Path, pages: Iterable[str]) -> str:
    """Put the figures into the page, and let links to other pages lead to their sections."""
    known = set(pages)

    def figure(match: re.Match[str]) -> str:
        path = folder / html.unescape(match.group(1))
        if not path.is_file():
            raise UserError(f"a page shows {path}, which is not there; run ./rltd report again")
        data = base64.b64encode(path.read_bytes()).decode()
        return f'src="data:image/svg+xml;base64,{data}"'

    def link(match: re.Match[str]) -> str:
        name = match.group(1)
        return f'href="#{name}"' if name in known else match.group(0)

    return re.sub(r'href="([\w-]+)\.md"', link, re.sub(r'src="([^":]+\.svg)"', figure, body))
