"""The explorer as a person has it: every view in a headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver.common.keys import Keys

from missrec.serving.app import create_app
from missrec.serving.keys import ApiKeys
from missrec.serving.settings import ServiceSettings
from serving.chromium import CHROMIUM, DRIVER, Browser, served, until
from serving.toy_explorer import (
    MARKUP,
    PATHS,
    marked_recommender,
    toy_explorer,
    toys_with_interests,
)
from toy_recommender import KEYS, ToyChain, toy_recommender
from toy_service import KEY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None, reason="needs chromium and chromedriver on the PATH"
    ),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.driver.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    recommender = toys_with_interests()
    explorer = toy_explorer(tmp_path_factory.mktemp("toys"), recommender, [KEYS[0], KEYS[1], "x"])
    app = create_app(recommender, ServiceSettings(batch_sec=0.0), explorer=explorer)
    with served(app) as at:
        yield at


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """Says nothing on its console, and asks nobody but the service."""
    chromium.said(), chromium.asked()
    yield chromium
    assert chromium.said() == []
    hosts = {one.split("/")[2].split(":")[0] for one in chromium.asked()}
    assert hosts == {"127.0.0.1"}


def take(browser: Browser, user: str) -> None:
    browser.click("#users button", named=f"Take user {user}")
    until(lambda: browser.all("#recommended li"))


def test_the_first_view_tells_what_there_is(browser: Browser, address: str) -> None:
    browser.open(address)
    until(lambda: len(browser.all("#items li")) == 5 and len(browser.all("#users li")) == 3)
    until(lambda: "5 items, 3 users" in browser.text("#about"))
    assert browser.text("#items-found") == "5 items"
    assert "Toy b" in browser.text("#items li")
    assert not browser.one("#legend").is_displayed()
    assert browser.driver.title.endswith("MISSRec explorer")


def test_items_are_found_by_text(browser: Browser, address: str) -> None:
    browser.open(address)
    browser.one("#item-text").send_keys("10 TOY")
    until(lambda: browser.text("#items-found") == "1 item")
    assert browser.texts("#items .title") == ["Toy 10"]
    browser.one("#item-text").send_keys("x")
    until(lambda: browser.text("#items-found") == "0 items")


def test_a_history_is_clicked_together_and_taken_apart(browser: Browser, address: str) -> None:
    browser.open(address)
    browser.click("#items button", named="Add Toy b to the history")
    browser.click("#items button", named="Add Toy e to the history")
    until(lambda: browser.texts("#history .title") == ["Toy b", "Toy e"])
    assert "of 2 items" in browser.text("#added")
    until(lambda: len(browser.all("#recommended li")) == 3)
    browser.click("#history button", named="Remove Toy b")
    until(lambda: browser.texts("#history .title") == ["Toy e"])
    assert browser.driver.switch_to.active_element.accessible_name == "About Toy e"
    browser.click("#clear")
    until(lambda: browser.all("#recommended li") == [])
    assert browser.one("#history-hint").is_displayed()


def test_recommendations_have_picture_title_score_and_shares(
    browser: Browser, address: str
) -> None:
    browser.open(address)
    take(browser, "bob")  # d, then a
    assert browser.text("#recommended .rank") == "1"
    expected = toys_with_interests().recommend([["d"]], k=5)
    assert browser.texts("#recommended .key") == expected["item"].to_list()
    assert browser.texts("#recommended .score") == [f"{one:.3f}" for one in expected["score"]]
    label = browser.one("#recommended .shares").get_attribute("aria-label")
    shares = expected.row(0, named=True)
    assert f"text {round(100 * shares['share_text'])} %" in str(label)
    assert browser.texts("#legend > span") == ["text", "image", "id"]
    assert "Came next: Toy a" in browser.text("#next")
    assert "came next" in [badge.text for badge in browser.all("#recommended .badge")]
    assert "What came next is in place" in browser.text("#changes")
    images = """
        return [...document.querySelectorAll('#recommended img')]
            .map((image) => [image.alt, image.naturalWidth])
    """
    expected_images = [["Picture of Toy b", 120], ["Picture of Toy e", 120]]
    until(lambda: sorted(browser.script(images)) == expected_images)


def test_it_shows_what_changes_when_a_part_or_an_item_is_left_out(
    browser: Browser, address: str
) -> None:
    browser.open(address)
    take(browser, "ann")  # b, e, then b
    whole = toys_with_interests()
    browser.click("#history button", named="Leave out Toy b")
    lacking = whole.recommend([["e"]], k=12)
    until(lambda: browser.texts("#recommended .key") == lacking["item"].to_list())
    assert browser.one("#history [aria-pressed=true]").text == "Leave out"
    assert "are others now" in browser.text("#changes")
    assert "left out" in browser.texts("#recommended .badge")
    browser.click("#history button", named="Leave out Toy b")
    for part in ("image", "text"):
        browser.click("#without label", named=part)
    lacking = whole.without({"image", "text"}).recommend([["b", "e"]], k=12)
    until(lambda: browser.texts("#recommended .key") == lacking["item"].to_list())
    label = browser.one("#recommended .shares").get_attribute("aria-label")
    assert label == "id 100 %"
    before = whole.recommend([["b", "e"]], k=12)["item"].to_list()
    moved = before.index(lacking["item"][0])
    change = browser.one("#recommended .change").text
    assert change == ("=" if moved == 0 else f"▲ {moved}")
    disabled = [box for box in browser.all("#without input") if not box.is_enabled()]
    assert len(disabled) == 1  # the last part stays


def test_what_is_no_longer_recommended_is_named(browser: Browser, address: str) -> None:
    browser.open(address)
    browser.click("#items button", named="Add Toy d to the history")
    browser.click("#items button", named="Add Toy e to the history")
    until(lambda: len(browser.all("#recommended li")) == 3)
    browser.click("#history button", named="Leave out Toy d")
    until(lambda: len(browser.all("#recommended li")) == 4)
    assert not browser.one("#gone").is_displayed()  # one more is there, and none less


def test_an_item_tells_why_it_has_its_score_and_what_is_similar(
    browser: Browser, address: str
) -> None:
    browser.open(address)
    take(browser, "ann")
    browser.click("#recommended button")
    until(lambda: browser.all(".similar li"))
    title = browser.text("#item-title")
    key = browser.text("#item .key")
    toys = toys_with_interests()
    reasons = toys.explain(["b", "e"], key)
    score = reasons.row(0, named=True)["value"]
    until(lambda: f"Its score for this history is {score:.3f}." in browser.text(".why"))
    lists = [browser.texts(f".why ul:nth-of-type({place}) .name") for place in (1, 2, 3)]
    assert lists[:2] == [["text", "image", "id"], ["Toy b", "Toy e"]]
    assert len(lists[2]) == len(reasons.filter(kind="interest"))
    similar = toys.similar([key], k=12)["similar"].to_list()
    assert browser.texts(".similar .key") == similar
    browser.click(".similar button")
    until(lambda: browser.text("#item-title") != title)
    browser.click("#item button", named="Add to the history")
    until(lambda: len(browser.all("#history li")) == 3)
    assert not browser.one("#item").is_displayed()


def test_the_map_shows_interests_and_their_items(browser: Browser, address: str) -> None:
    browser.open(address)
    browser.click("#to-interests")
    until(lambda: len(browser.all("#map circle")) == 3)
    radii = [float(str(dot.get_attribute("r"))) for dot in browser.all("#map circle")]
    assert radii == sorted(radii, reverse=True)
    fills = {dot.value_of_css_property("fill") for dot in browser.all("#map circle")}
    assert len(fills) == 3  # each another mixture
    browser.click("#map circle[data-interest='0']")
    until(lambda: browser.text("#interest-heading") == "Interest 0")
    assert browser.texts("#interest .key") == ["a", "b", "e"]
    assert "3 tokens of 3 items" in browser.text("#interest")
    assert "33 % text, 67 % image" in browser.text("#interest")
    until(lambda: browser.script("return document.querySelector('#interest img').naturalWidth"))
    assert browser.one("#interest-list [aria-current]").accessible_name.startswith("Interest 0, 3")
    browser.click("#interest-list button", named="Interest 2, 1 tokens, around Toy d")
    until(lambda: browser.text("#interest-heading") == "Interest 2")
    browser.click("#interest button")
    until(lambda: browser.text("#item-title") == "Toy d")


def test_epochs_are_lines_and_a_table(browser: Browser, address: str) -> None:
    browser.open(f"{address}/#interests")
    until(lambda: browser.all("#epoch-plots svg"))
    labels = [plot.get_attribute("aria-label") for plot in browser.all("#epoch-plots svg")]
    assert labels[0] == "live: 3 at epoch 0, 2 at epoch 1"
    browser.click("#epochs summary")
    assert browser.texts("#epoch-table tr") == [
        "Epoch Live interests Drift Fusion, alpha",
        "0 3 \N{EN DASH} 1",
        "1 2 0.25 1.5",
    ]


def test_an_interest_of_a_reason_leads_to_the_map(browser: Browser, address: str) -> None:
    browser.open(address)
    take(browser, "ann")
    browser.click("#recommended button")
    browser.click(".why button.link")
    until(lambda: browser.text("#interest-heading").startswith("Interest "))
    until(lambda: browser.all("#map circle.chosen"))
    assert not browser.one("#item").is_displayed()


@pytest.mark.parametrize(
    ("width", "scheme"), [(1200, "light"), (1200, "dark"), (400, "light")], ids=str
)
def test_every_view_can_be_had_by_everybody(
    browser: Browser, address: str, width: int, scheme: str
) -> None:
    browser.open(address, width=width, scheme=scheme)
    until(lambda: browser.all("#items li"))
    assert browser.violations() == []
    take(browser, "ann")
    browser.click("#history button", named="Leave out Toy b")
    until(lambda: browser.all("#recommended .change"))
    assert browser.violations() == []
    browser.click("#recommended button")
    until(lambda: browser.all(".similar li") and browser.all(".why li"))
    assert browser.violations() == []
    browser.click("#item button", named="Close")
    browser.click("#to-interests")
    browser.click("#interest-list button")
    until(lambda: browser.all("#interest li"))
    browser.click("#epochs summary")
    assert browser.violations() == []


@pytest.mark.parametrize("width", [320, 400, 800, 1200])
def test_nothing_is_wider_than_the_window(browser: Browser, address: str, width: int) -> None:
    browser.open(address, width=width)
    wide = "return document.documentElement.scrollWidth"
    take(browser, "ann")
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
    assert press(Keys.TAB) == "About Toy b"
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
        take(browser, "ann")
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


def test_a_model_without_interests_and_parts_is_explored_too(browser: Browser) -> None:
    recommender = toy_recommender(ToyChain())
    with served(create_app(recommender, ServiceSettings(batch_sec=0.0))) as address:
        browser.open(f"{address}/#interests")
        take(browser, "ann")
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
