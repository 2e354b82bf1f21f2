"""A headless Chromium that notes what a page says and asks for; a service for it in a thread."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvicorn
from axe_core_python.selenium import Axe
from fastapi import FastAPI
from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    StaleElementReferenceException,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

T = TypeVar("T")

LOOKS = [(1200, "light"), (1200, "dark"), (400, "light")]
"""Widths of the window in pixels, with the system's colours."""

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
_LONGEST_SEC = 30
_LONGEST_RULES_SEC = 240  # axe-core on a page with thousands of cells, on a busy machine
_NOT_YET = (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    StaleElementReferenceException,
)
"""What a page does to whoever clicks while it is drawn."""
_DRAWN = """
return [...document.querySelectorAll(".plot")].every((one) => one.querySelector("svg"))
"""
_VIOLATIONS_ALONE = {"resultTypes": ["violations"]}
"""Else every node that is right comes back too, thousands of them with the markup of a plot."""
_MISNAMED = r"""
const words = (text) => (text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []).join(" ");
return [...document.querySelectorAll("button[aria-label]")]
    .filter((button) => button.checkVisibility())
    .filter((button) => !words(button.ariaLabel).includes(words(button.innerText)))
    .map((button) => button.outerHTML);
"""
"""Buttons whose name lacks what they show (WCAG 2.5.3); axe-core 4.4 does not look for them."""


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The address of an app that answers."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def until(found: Callable[[], T]) -> T:
    """What a call gives once that is true; what is being drawn is asked again."""
    end = time.monotonic() + _LONGEST_SEC
    while time.monotonic() < end:
        try:
            if result := found():
                return result
        except _NOT_YET:
            pass
        time.sleep(0.02)
    raise AssertionError("it did not happen")


class Browser:
    """One page of a browser, and short words for what a person does there."""

    def __init__(self) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM or ""
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        self.driver.set_script_timeout(_LONGEST_RULES_SEC)

    def open(
        self,
        address: str,
        *,
        width: int = 1200,
        scheme: str = "light",
        motion: str = "no-preference",
    ) -> None:
        """Opens an address as if for the first time."""
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get("about:blank")
        self.driver.get(address)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        return until(lambda: self.all(selector))[0]

    def text(self, selector: str) -> str:
        return self.one(selector).text

    def texts(self, selector: str) -> list[str]:
        return [element.text for element in self.all(selector)]

    def click(self, selector: str, *, named: str | None = None) -> None:
        """Clicks the first that is there, or the one of a name."""

        def clicked() -> bool:
            for element in self.all(selector):
                if named is None or named in (element.text, element.accessible_name):
                    element.click()
                    return True
            return False

        until(clicked)

    def script(self, code: str) -> Any:
        return self.driver.execute_script(code)

    def violations(self) -> list[str]:
        """What is against the rules of accessibility in what is shown."""
        found = Axe().run(self.driver, options=_VIOLATIONS_ALONE)["violations"]
        against = [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]
        return against + [f"label in name: {html}" for html in self.script(_MISNAMED)]

    def against_rules(self, page: Path) -> list[str]:
        """What a file says on the console, or has against the rules, in any look, all unfolded."""
        found = []
        self.said()
        for width, scheme in LOOKS:
            self.open(page.as_uri(), width=width, scheme=scheme)
            self.script("for (const one of document.querySelectorAll('details')) one.open = true")
            until(lambda: self.script(_DRAWN))
            found += [f"{scheme}, {width}: {what}" for what in (*self.violations(), *self.said())]
            wide = self.script("return document.documentElement.scrollWidth > innerWidth")
            found += [f"{scheme}, {width}: wider than its window"] if wide else []
        return found

    def said(self) -> list[str]:
        """Messages on the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def asked(self) -> list[str]:
        """Addresses that were asked for since the last call, but for those of this browser."""
        messages = [
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        ]
        addresses = [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]
        return [one for one in addresses if not one.startswith(("about:", "blob:", "data:"))]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser, where there is one."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs chromium and chromedriver on the PATH")
    browser = Browser()
    yield browser
    browser.driver.quit()


def take_user(browser: Browser, user: str) -> None:
    """Takes a user of the first view and waits for what is recommended."""
    browser.click("#users button", named=f"Take user {user}")
    until(lambda: browser.all("#recommended li"))
