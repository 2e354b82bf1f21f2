"""Pages of the site that do not lie in docs/: README, settings, interfaces.

A hook of mkdocs. In the files, links are those that a reader of the repository follows; here they
are turned to where the pages lie in the site.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from http_interface import http_page, openapi_document
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from python_interface import python_page
from settings import settings_page

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "bench/README.md": "bench.md",
}
"""File of the repository -> its page in the site."""

_LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """The files of docs/ and those from outside."""
    for source, page in OUTSIDE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    settings = settings_page(ROOT / "conf")
    files.append(File.generated(config, "reference/settings.md", content=settings))
    interface = python_page(ROOT / "src" / "missrec")
    files.append(File.generated(config, "reference/python.md", content=interface))
    service = http_page(openapi_document())
    files.append(File.generated(config, "reference/http.md", content=service))
    return files


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with links to where things lie in the site."""
    here = page.file.src_uri
    source = next((key for key, value in OUTSIDE.items() if value == here), f"docs/{here}")
    return _LINK.sub(lambda found: f"]({in_site(found[1], source=source, page=here)}", markdown)


def in_site(link: str, *, source: str, page: str) -> str:
    """A link of a file of the repository, as one of its page.

    Args:
        link: as it stands in the file, without an anchor.
        source: the file, from the root of the repository.
        page: its page, from the root of the site.
    """
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    there = OUTSIDE.get(path, path.removeprefix("docs/"))
    return posixpath.relpath(there, posixpath.dirname(page) or ".")
