"""The first view of the explorer in a headless Chromium, from a service that is warm.

python bench/explorer.py logs/scratch/<run>    # --views for another number than ten
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from measured import write_report

import missrec
from missrec.app.trained.explored import explorer_of
from missrec.serving.app import create_app
from missrec.serving.settings import ServiceSettings
from serving.chromium import Browser, served, until

_BAR_SEC = 1.5
_DRAWN = """
return document.querySelectorAll('#items li').length > 0
    && [...document.images].every((image) => image.complete)
"""


def main() -> None:
    """Opens page after page with nothing in the browser's cache; ends with 1 beyond the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--views", type=int, default=10)
    parser.add_argument("--data-dir", type=Path, default=ROOT / "data")
    chosen = parser.parse_args()
    recommender = missrec.load(chosen.run, data_dir=chosen.data_dir)
    explorer = explorer_of(recommender, chosen.run, data_dir=chosen.data_dir)
    browser = Browser()
    try:
        with served(create_app(recommender, ServiceSettings(), explorer=explorer)) as address:
            browser.driver.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
            _seconds(browser, address)  # warms service and browser
            views = [_seconds(browser, address) for _ in range(chosen.views)]
            bare = [_seconds(browser, f"{address}/healthz") for _ in range(chosen.views)]
    finally:
        browser.driver.quit()
    report = {
        "items": len(recommender.items),
        "first_view_sec": statistics.median(views),
        "slowest_sec": max(views),
        "over_an_answer_without_a_page": statistics.median(views) / statistics.median(bare),
    }
    write_report("explorer", report)
    if report["first_view_sec"] > _BAR_SEC:
        sys.exit(f"the first view took longer than {_BAR_SEC} s")


def _seconds(browser: Browser, address: str) -> float:
    """From the request until the items are there with their pictures, or the answer is."""
    start = time.perf_counter()
    browser.driver.get(address)
    if not address.endswith("/healthz"):
        until(lambda: browser.script(_DRAWN))
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
