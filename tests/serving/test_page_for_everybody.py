"""The explorer for everybody: by keyboard, narrow, dark, with keys, with markup in its titles."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from missrec.serving.app import create_app
from missrec.serving.keys import ApiKeys
from missrec.serving.settings import ServiceSettings
from serving.chromium import LOOKS, Browser, served, take_user, until
from serving.toy_explorer import (
    MARKUP,
    PATHS,
    marked_recommender,
    toy_explorer,
    toys_with_interests,
)
from serving.walk import walk
from toy_recommender import KEYS, ToyChain, toy_recommender
from toy_service import KEY

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("width", "scheme"), LOOKS, ids=str)
def test_every_view_can_be_had_by_everybody(
    browser: Browser, address: str, width: int, scheme: str
) -> None:
    violations = {
        view: browser.violations() for view in walk(browser, address, width=width, scheme=scheme)
    }
    assert len(violations) == 14
    assert {view: found for view, found in violations.items() if found} == {}


@pytest.mark.parametrize("width", [320, 400, 800, 1200])
def test_nothing_is_wider_than_the_window(browser: Browser, address: str, width: int) -> None:
    browser.open(address, width=width)
    wide = "return document.documentElement.scrollWidth"
    take_user(browser, "ann")
    assert browser.script(wide) <= width
    browser.click("#recommended button")
    until(lambda: browser.all(".similar li"))
    assert browser.script("return document.getElementById('item').scrollWidth") <= width
    browser.click("#item button", named="Close")
    browser.click("#to-interests")
    browser.click("#interest-list button")
    until(lambda: browser.all("#interest li"))
    assert browser.script(wide) <= width


def test_it_is_worked_by_the_keyboard_alone(browser: Browser, address: str) -> None:
    browser.open(address)
    until(lambda: browser.all("#items li"))

    def press(*keys: str) -> str:
        """The name of what has the focus then."""
        for key in keys:
            browser.driver.switch_to.active_element.send_keys(key)
        return str(browser.driver.switch_to.active_element.accessible_name)

    assert press(Keys.TAB) == "Skip to the content"
    press(Keys.ENTER)
    assert press(Keys.TAB) == "Words of a title, or a key"
    assert press(Keys.TAB) == "About Toy b b"
    assert press(Keys.TAB) == "Add Toy b to the history"
    press(Keys.ENTER)
    until(lambda: browser.all("#recommended li"))
    browser.one("#recommended button").send_keys(Keys.ENTER)
    until(lambda: browser.all(".similar li"))
    assert browser.driver.switch_to.active_element.text == "Close"
    press(Keys.ESCAPE)
    until(lambda: not browser.one("#item").is_displayed())
    focused = browser.driver.switch_to.active_element
    assert focused.accessible_name == browser.one("#recommended button").accessible_name
    browser.one("#to-interests").send_keys(Keys.ENTER)
    until(lambda: browser.all("#interest-list button"))
    browser.one("#interest-list button").send_keys(Keys.ENTER)
    until(lambda: browser.text("#interest-heading") == "Interest 1")
    focused = browser.driver.switch_to.active_element
    assert focused.get_attribute("id") == "interest-heading"


def test_nothing_moves_for_those_who_want_that(browser: Browser, address: str) -> None:
    moves = (
        "return [...document.querySelectorAll('*')].filter(e => "
        "getComputedStyle(e).transitionDuration !== '0s').length"
    )
    browser.open(f"{address}/#interests")
    until(lambda: browser.all("#map circle"))
    assert browser.script(moves) == 3
    browser.open(f"{address}/#interests", motion="reduce")
    until(lambda: browser.all("#map circle"))
    assert browser.script(moves) == 0


def test_markup_is_shown_as_text(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    recommender = marked_recommender()
    folder = tmp_path_factory.mktemp("marked")
    explorer = toy_explorer(folder, recommender, [PATHS[0], PATHS[1], "x"])
    app = create_app(recommender, ServiceSettings(batch_sec=0.0), explorer=explorer)
    with served(app) as address:
        browser.open(address)
        until(lambda: len(browser.all("#items li")) == 5)
        titles = browser.script(
            "return [...document.querySelectorAll('#items .title')].map(e => e.textContent)"
        )
        assert titles == MARKUP
        take_user(browser, "ann")
        browser.click("#recommended button")
        until(lambda: browser.all(".similar li") and browser.all(".why li"))
        browser.click("#item button", named="Close")
        browser.click("#to-interests")
        browser.click("#interest-list button")
        until(lambda: browser.all("#interest li"))
        assert "marked" not in browser.driver.title
        for selector in ("#marked", "main b", "main script", "[onerror]", "[onmouseover]"):
            assert browser.all(selector) == []
        until(lambda: browser.script("return document.querySelector('img')?.naturalWidth"))
        assert not any("/marked" in address for address in browser.asked())
        browser.open(address)
        until(lambda: len(browser.all("#items img")) == 2)
        until(lambda: browser.script("return [...document.images].every((one) => one.complete)"))


def test_a_model_without_interests_and_parts_is_explored_too(browser: Browser) -> None:
    recommender = toy_recommender(ToyChain())
    with served(create_app(recommender, ServiceSettings(batch_sec=0.0))) as address:
        browser.open(f"{address}/#interests")
        take_user(browser, "ann")
        assert not browser.one("#to-interests").is_displayed()
        assert not browser.one("#without").is_displayed()
        browser.click("#recommended button")
        until(lambda: "Its score for this history" in browser.text(".why"))
        assert browser.violations() == []


def test_a_service_with_keys_asks_for_one(
    chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    recommender = toys_with_interests()
    explorer = toy_explorer(tmp_path_factory.mktemp("keyed"), recommender, [KEYS[0], KEYS[1], "x"])
    settings = ServiceSettings(batch_sec=0.0, keys=ApiKeys([KEY]))
    with served(create_app(recommender, settings, explorer=explorer)) as address:
        chromium.open(address)
        until(lambda: chromium.one("#ask-key").is_displayed())
        assert chromium.violations() == []
        chromium.one("#key").send_keys(KEY, Keys.ENTER)
        until(lambda: len(chromium.all("#items li")) == 5)
        until(lambda: chromium.script("return document.querySelector('#items img').naturalWidth"))
        chromium.script("sessionStorage.clear()")
    assert [message for message in chromium.said() if "401" not in message] == []
