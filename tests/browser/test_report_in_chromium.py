"""The report as one page in a browser: nothing sticks out at the width of a desktop or a phone."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from eval.evidence.html_report import write_html_report
from eval.paths import RESULTS, ROOT

DESKTOP, PHONE = 1280, 390  # CSS pixels
MEASURE = """\
<iframe id="page" style="width: {width}px; height: 900px; border: 0" srcdoc="{page}"></iframe>
<script>
onload = () => {{
  const root = page.contentDocument.documentElement;
  const over = root.scrollWidth - root.clientWidth, images = [...root.querySelectorAll("img")];
  const broken = images.filter((image) => !image.naturalWidth).length;
  document.title = `${{over}} ${{images.length}} ${{broken}}`;
}};
</script>
"""


def measured(page: str, width: int, folder: Path) -> tuple[int, ...]:
    """Return by how much a page is wider than its frame, its images, and those not shown."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    assert browser, "this test needs Chromium on the PATH"
    file = folder / "frame.html"
    file.write_text(MEASURE.format(width=width, page=html.escape(page)))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", str(file)]
    made = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found = re.search(r"<title>(\d+) (\d+) (\d+)</title>", made.stdout)
    assert found, made.stderr
    return tuple(int(number) for number in found.groups())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    to = tmp_path_factory.mktemp("report") / "report.html"
    return write_html_report(RESULTS / "summary", ROOT / "README.md", to).read_text()


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_nothing_sticks_out_and_every_image_is_shown(page: str, width: int, tmp_path: Path) -> None:
    over, images, broken = measured(page, width, tmp_path)
    assert over == 0
    assert images > 30
    assert not broken


def test_what_sticks_out_is_found(tmp_path: Path) -> None:
    page = '<p style="width: 700px">wide</p><img src="data:image/png;base64,none">'
    assert measured(page, PHONE, tmp_path)[0] > 700 - PHONE
    assert measured(page, DESKTOP, tmp_path) == (0, 1, 1)
