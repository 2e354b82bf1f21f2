"""The explorer as a person has it: what its views show, in a headless Chromium."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from serving.chromium import Browser, take_user, until
from serving.toy_explorer import toys_with_interests

pytestmark = pytest.mark.slow


def test_the_first_view_tells_what_there_is(browser: Browser, address: str) -> None:
    browser.open(address)
    until(lambda: len(browser.all("#items li")) == 5 and len(browser.all("#users li")) == 3)
    until(lambda: "5 items, 3 users" in browser.text("#about"))
    assert browser.text("#items-found") == "5 items"
    assert "Toy b" in browser.text("#items li")
    assert not browser.one("#legend").is_displayed()
    assert "appears here once an item is in it" in browser.text("#recommended-hint")
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
    assert browser.driver.switch_to.active_element.accessible_name == "About Toy e e"
    browser.click("#clear")
    until(lambda: browser.all("#recommended li") == [])
    assert browser.one("#history-hint").is_displayed()
    assert browser.one("#recommended-hint").is_displayed()


def test_recommendations_have_picture_title_score_and_shares(
    browser: Browser, address: str
) -> None:
    browser.open(address)
    take_user(browser, "bob")  # d, then a
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
    said = browser.text("#about-list")
    # b, e, 10 and a were had 2, 1, 1 and 1 times, each by one of three users.
    assert "its items have been had 1.3 times; any item 1.2 times." in said
    assert "1.6 bits: about one user in 3 has had such an item." in said
    assert "0.47 by text, 0.67 by image; 0 where all items are alike" in said
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
    take_user(browser, "ann")  # b, e, then b
    whole = toys_with_interests()
    browser.click("#history button", named="Leave out Toy b")
    lacking = whole.recommend([["e"]], k=12)
    until(lambda: browser.texts("#recommended .key") == lacking["item"].to_list())
    assert browser.one("#history [aria-pressed=true]").text == "Leave out"
    assert "1 of 4 are new." in browser.text("#changes")
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


def test_an_item_that_is_left_out_can_be_recommended_again(browser: Browser, address: str) -> None:
    browser.open(address)
    browser.click("#items button", named="Add Toy d to the history")
    browser.click("#items button", named="Add Toy e to the history")
    until(lambda: len(browser.all("#recommended li")) == 3)
    browser.click("#history button", named="Leave out Toy d")
    until(lambda: len(browser.all("#recommended li")) == 4)
    assert "d" in browser.texts("#recommended .key")
    assert not browser.one("#gone").is_displayed()


def test_an_item_tells_why_it_has_its_score_and_what_is_similar(
    browser: Browser, address: str
) -> None:
    browser.open(address)
    take_user(browser, "ann")
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
    titles = [dot.get_attribute("textContent") for dot in browser.all("#map circle")]
    browser.click("#map circle[data-interest='0']")
    until(lambda: browser.text("#interest-heading") == "Interest 0")
    assert browser.texts("#interest .key") == ["a", "b", "e"]
    assert "3 tokens of 3 items" in browser.text("#interest")
    assert "33 % text, 67 % image" in browser.text("#interest")
    until(lambda: browser.script("return document.querySelector('#interest img').naturalWidth"))
    assert browser.one("#interest-list [aria-current]").accessible_name.startswith(
        "Interest 0 of size 3"
    )
    browser.click("#interest-list button", named="Interest 2 of size 1: Toy d")
    until(lambda: browser.text("#interest-heading") == "Interest 2")
    assert "1 token of 1 item." in browser.text("#interest")
    assert "Interest 2, 1 token: Toy d" in titles
    browser.click("#interest button")
    until(lambda: browser.text("#item-title") == "Toy d")


def test_the_map_goes_over_the_epochs(browser: Browser, address: str) -> None:
    browser.open(f"{address}/#interests")
    until(lambda: len(browser.all("#map circle")) == 3)
    slider = browser.one("#epoch")
    assert browser.one("#epoch-shown").text == "as tested"
    slider.send_keys(Keys.ARROW_LEFT)
    assert slider.get_attribute("aria-valuetext") == "as epoch 1 began, on the plane of the first"
    assert len(browser.all("#map circle")) == 1
    slider.send_keys(Keys.ARROW_LEFT)
    assert len(browser.all("#map circle")) == 2
    browser.click("#map circle")  # does nothing
    assert browser.text("#interest-heading") == "One interest"
    slider.send_keys(Keys.END)
    assert len(browser.all("#map circle[data-interest]")) == 3


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
    take_user(browser, "ann")
    browser.click("#recommended button")
    browser.click(".why button.link")
    until(lambda: browser.text("#interest-heading").startswith("Interest "))
    until(lambda: browser.all("#map circle.chosen"))
    assert not browser.one("#item").is_displayed()
