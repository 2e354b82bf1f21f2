"""Every view of the explorer in a headless Chromium: what it says, whom it asks, what axe finds.

python src/serve.py run=logs/scratch/<run>
python bench/explorer_views.py http://127.0.0.1:8000
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from measured import print_table, write_report

from serving.chromium import LOOKS, Browser
from serving.walk import walk

_LOADED = "return [...document.images].filter((image) => image.naturalWidth > 0).length"


class Seen(NamedTuple):
    """What came of one view in one look."""

    look: str
    view: str
    pictures: int
    said: list[str]
    elsewhere: list[str]
    violations: list[str]


def main() -> None:
    """Walks through all views in each look; ends with 1 where anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--screenshots", type=Path, help="folder for a picture of each view")
    chosen = parser.parse_args()
    browser = Browser()
    try:
        seen = _walks(browser, chosen.address.rstrip("/"), chosen.screenshots)
    finally:
        browser.driver.quit()
    _tell(seen)
    if any(one.said or one.elsewhere or one.violations for one in seen):
        sys.exit("the explorer is not clean")


def _walks(browser: Browser, address: str, screenshots: Path | None) -> list[Seen]:
    seen = []
    for width, scheme in LOOKS:
        look = f"{scheme}, {width} px"
        for number, view in enumerate(walk(browser, address, width=width, scheme=scheme)):
            seen.append(_look_at(browser, address, look, view))
            if screenshots is not None:
                screenshots.mkdir(parents=True, exist_ok=True)
                browser.driver.save_screenshot(f"{screenshots}/{scheme}_{width}_{number:02}.png")
    return seen


def _look_at(browser: Browser, address: str, look: str, view: str) -> Seen:
    pictures = browser.script(_LOADED)
    violations = browser.violations()
    host = urlsplit(address).netloc
    elsewhere = [one for one in browser.asked() if urlsplit(one).netloc != host]
    return Seen(look, view, pictures, browser.said(), elsewhere, violations)


def _tell(seen: list[Seen]) -> None:
    rows = [
        [one.look, one.view, *(str(len(found)) for found in one[3:]), str(one.pictures)]
        for one in seen
    ]
    columns = ["look", "view", "messages", "requests elsewhere", "violations", "pictures"]
    print_table("views", columns, rows)
    for one in seen:
        for what in (*one.said, *one.elsewhere, *one.violations):
            print(f"{one.look}, {one.view}: {what}")
    report = {
        "views": len(seen),
        "console_messages": sum(len(one.said) for one in seen),
        "requests_elsewhere": sum(len(one.elsewhere) for one in seen),
        "violations": sum(len(one.violations) for one in seen),
        "most_pictures_in_a_view": max(one.pictures for one in seen),
    }
    write_report("explorer_views", report)


if __name__ == "__main__":
    main()
