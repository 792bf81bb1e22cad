"""The HTML report is one file that holds every page and loads nothing."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from eval.errors import UserError
from eval.evidence.html_report import write_html_report
from eval.paths import RESULTS, ROOT

README = """\
# A title

A promise with [a source](https://example.org/paper) and [a place](#below).

## What is shown

In short, does it hold? Mostly:

- it holds,
  in two lines
- it does not

Not this.

## How to read the tables

- *term*: meaning

## Commands

Nor this.
"""
PAGES = {
    "claims": "# Claims\n\n| a | b |\n| - | - |\n| 1 | [gpt_pretrain](gpt_pretrain.md) |\n",
    "gpt_pretrain": "# gpt_pretrain\n\n![A figure](gpt_pretrain-cpu-curves.svg)\n",
    "gpt_pretrain_pilot_2": "# a pilot\n\n[elsewhere](another.md)\n",
    "bench_step": "# Step times\n\n<b>x</b> & y\n",
}


class Read(HTMLParser):
    """What a page holds: its places, links, images, and other things that it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        assert tag not in ("script", "link", "iframe", "object", "video")
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named["href"]] if "href" in named else []
        self.images += [named["src"]] if "src" in named else []

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in PAGES.items():
        (tmp_path / f"{name}.md").write_text(text)
    (tmp_path / "gpt_pretrain-cpu-curves.svg").write_text("<svg>drawn</svg>")
    (tmp_path / "README").write_text(README)
    return tmp_path


def made(folder: Path) -> Read:
    return Read(write_html_report(folder, folder / "README", folder / "x" / "r.html").read_text())


def test_every_page_has_a_place_and_links_lead_there(folder: Path) -> None:
    page = made(folder)
    assert page.ids == ["in_short", "claims", "gpt_pretrain", "bench_step", "gpt_pretrain_pilot_2"]
    inside = [link[1:] for link in page.links if link.startswith("#")]
    assert set(inside) == set(page.ids)
    assert inside.count("gpt_pretrain") == 2  # the contents and the table
    assert "another.md" in page.links  # a page that is not there is left alone


def test_the_figure_is_inside(folder: Path) -> None:
    (image,) = made(folder).images
    kind, _, data = image.partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(data) == b"<svg>drawn</svg>"


def test_what_the_readme_says_in_short_comes_first(folder: Path) -> None:
    text = made(folder).text
    assert "In short, does it hold?" in text
    assert "it holds,\nin two lines" in text
    assert "it does not" in text
    assert "meaning" in text
    assert "Not this" not in text
    assert "Nor this" not in text
    links = made(folder).links
    assert "https://example.org/paper" in links
    assert "#below" not in links


def test_text_that_looks_like_html_is_kept_as_it_is_in_markdown(folder: Path) -> None:
    assert "x & y" in made(folder).text.replace("\n", "")


def test_a_figure_that_is_gone_is_an_error(folder: Path) -> None:
    (folder / "gpt_pretrain-cpu-curves.svg").unlink()
    with pytest.raises(UserError, match=r"gpt_pretrain-cpu-curves\.svg, which is not there"):
        made(folder)


def test_the_committed_pages_make_one_file_with_every_figure(tmp_path: Path) -> None:
    summary = RESULTS / "summary"
    report = write_html_report(summary, ROOT / "README.md", tmp_path / "report.html")
    page = Read(report.read_text())
    assert set(page.ids) == {"in_short", *(path.stem for path in summary.glob("*.md"))}
    answers = re.findall(r"^- \*\*(.+?)\*\*", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(answers) > 4
    assert all(answer in page.text for answer in answers)
    assert len(page.images) == len(list(summary.glob("*.svg")))
    assert all(image.startswith("data:image/svg+xml;base64,") for image in page.images)
    assert {link[1:] for link in page.links if link.startswith("#")} == set(page.ids)
    assert all(link.startswith(("#", "http")) for link in page.links)
    assert len(page.ids) == len(set(page.ids))
