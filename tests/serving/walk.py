"""A walk through all views of the explorer, on any catalogue with users and interests."""

from __future__ import annotations

from collections.abc import Iterator

from selenium.webdriver.common.keys import Keys

from serving.chromium import Browser, until

_DRAWN = """
const isSeen = (image) => {
    const { top, right, bottom, left } = image.getBoundingClientRect();
    const isInWindow = bottom > 0 && top < innerHeight && right > 0 && left < innerWidth;
    return isInWindow && image.checkVisibility();
};
const isDrawn = (image) => image.complete && image.naturalWidth > 0;
return [...document.images].filter(isSeen).every(isDrawn);
"""


def walk(browser: Browser, address: str, *, width: int, scheme: str) -> Iterator[str]:
    """The name of each view while it is shown, with the pictures that are in the window.

    Args:
        browser: what it is shown in.
        address: of the service.
        width: of the window, in pixels.
        scheme: the system's colours, `light` or `dark`.
    """
    browser.open(address, width=width, scheme=scheme)
    for views in (_find, _recommend, _leave_out, _item, _interests):
        for name in views(browser):
            until(lambda: browser.script(_DRAWN))
            yield name


def _find(browser: Browser) -> Iterator[str]:
    until(lambda: browser.all("#items li") and browser.all("#users li"))
    yield "first view"
    key, found = browser.text("#items .key"), browser.text("#items-found")
    browser.one("#item-text").send_keys(key)
    until(lambda: browser.text("#items-found") != found and key in browser.texts("#items .key"))
    yield "search"
    browser.click("#items button[aria-label^=Add]")
    until(lambda: browser.all("#recommended li"))
    yield "history"


def _recommend(browser: Browser) -> Iterator[str]:
    browser.click("#users button")
    until(lambda: browser.one("#next").is_displayed() and browser.all("#recommended .score"))
    yield "user"
    until(lambda: browser.all("#about-list dd"))
    browser.script("document.getElementById('about-list').scrollIntoView()")
    yield "recommendations, about this list"


def _leave_out(browser: Browser) -> Iterator[str]:
    for name, toggle in (
        ("without a part of the scores", "#without label"),
        ("an item left out", "#history [aria-pressed]"),
    ):
        browser.click(toggle)
        until(lambda: browser.all("#recommended .change"))
        yield name
        browser.click(toggle)
        until(lambda: not browser.all("#recommended .change"))


def _item(browser: Browser) -> Iterator[str]:
    browser.click("#recommended button")
    until(lambda: browser.all(".why li") and browser.all(".similar li"))
    yield "item: why"
    browser.script("document.querySelector('.similar').scrollIntoView()")
    yield "item: similar"
    title = browser.text("#item-title")
    browser.click(".similar button")
    until(lambda: browser.text("#item-title") != title and browser.all(".similar li"))
    yield "a similar item"
    browser.click("#item button", named="Close")


def _interests(browser: Browser) -> Iterator[str]:
    browser.click("#to-interests")
    until(lambda: browser.all("#map circle"))
    yield "map of interests"
    browser.click("#map circle:last-of-type")  # no other dot lies over it
    until(lambda: browser.all("#map circle.chosen") and browser.all("#interest li"))
    yield "one interest, by the map"
    browser.click("#interest-list button")
    until(lambda: browser.one("#interest-list button").get_attribute("aria-current"))
    yield "one interest, by the list"
    browser.one("#epoch").send_keys(Keys.ARROW_LEFT)
    until(lambda: browser.text("#epoch-shown") != "as tested")
    browser.click("#epochs summary")
    until(lambda: browser.one("#epoch-table table").is_displayed())
    yield "epochs"
