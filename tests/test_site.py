"""The site of the docs is built without warnings, and its pages fetch nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` does, with `strict: true`: a warning is an error.

    Not with --quiet, under which mkdocs 1.6 counts no warnings.
    """
    folder = tmp_path_factory.mktemp("site")
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", folder],
        cwd=ROOT,
        env={"NO_MKDOCS_2_WARNING": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return folder


class Fetched(HTMLParser):
    """The addresses that a browser fetches by itself for a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a":
            self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]


def test_every_page_of_docs_is_in_the_site(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs") for path in ROOT.glob("docs/**/*.md")}
    assert len(pages) > 20
    assert [page for page in pages if not (site / page).with_suffix(".html").is_file()] == []


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    pages = [*site.rglob("*.html")]
    fetched = {address for page in pages for address in Fetched(page).addresses}
    assert {address for address in fetched if re.match(r"(\w+:)?//", address)} == set()
    assert any(address.endswith(".css") for address in fetched)


def test_the_first_page_is_the_readme_with_links_into_the_site(site: Path) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="glossary.html"' in text
    assert "docs/" not in "".join(re.findall(r'href="([^"]*)"', text))


def test_a_setting_has_its_place_its_value_and_what_the_file_says(site: Path) -> None:
    text = (site / "reference" / "settings.html").read_text(encoding="utf-8")
    cells = [re.findall(r"<td>(.*?)</td>", row, re.S) for row in re.split("<tr>", text)]
    patience = "<code>callbacks.early_stopping.patience</code>"
    said = "at least 0; validations without a better one, after which it stops; section 4.2.4"
    assert [patience, "<code>10</code>", said] in cells


def test_the_python_interface_has_each_method_with_its_arguments_and_examples(site: Path) -> None:
    text = (site / "reference" / "python.html").read_text(encoding="utf-8")
    for name in ("missrecload", "recommend", "similar", "explain", "interests", "measure"):
        assert f'id="{name}"' in text
    assert "<li><code>exclude_seen</code>: leave out items of the history.</li>" in text
    assert "item_19" in text  # an example's output


def test_the_http_interface_has_each_route_with_what_it_takes(site: Path) -> None:
    text = (site / "reference" / "http.html").read_text(encoding="utf-8")
    headings = re.findall(r"<h2 id=\"[^\"]*\">([A-Z]+ /[^<]*)", text)
    assert {"POST /v1/recommend", "GET /v1/items/{key}", "POST /admin/reload"} <= set(headings)
    assert "<td>leave out items of the history</td>" in text
