"""A real browser: Debian's Chromium, which Playwright drives."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

#: The program; None if this machine has none.
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

#: What the console of Chromium shows of an answer that the page handles itself.
_REFUSAL = re.compile(r"Failed to load resource: the server responded with a status of (401|422) ")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Yield a browser that ends with the block."""
    # As root, and in a container, Chromium has no sandbox.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@dataclass
class Reader:
    """A reader of one page, with an empty browser profile.

    Attributes:
        page: The page.
        complaints: What the console showed as an error, and errors that a script did not catch.
        requests: The requests of the page.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request))  # noqa: PLW0108 (it sets an attribute)
        self.page.set_default_timeout(20_000)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not _REFUSAL.match(message.text):
            self.complaints.append(message.text)

    def open(self, url: str) -> None:
        """Open a page and wait for its first form."""
        self.page.goto(url)
        self.page.locator("form").wait_for()

    def predict(self) -> dict[str, Any]:
        """Press the button, and return the answer of the service."""
        with self.page.expect_response("**/predict?warnings=true") as response:
            self.page.get_by_role("button", name="Predict").click()
        self.page.locator(".answer[aria-busy=false]:not(:empty)").wait_for()
        answer: dict[str, Any] = response.value.json()
        return answer

    def sent_row(self) -> dict[str, Any]:
        """Return the row of the last prediction."""
        body: Any = next(request for request in reversed(self.requests) if request.method == "POST").post_data_json
        (row,) = body["rows"]
        return dict(row)

    def problems(self) -> dict[str, str]:
        """Return the visible problems by the label of their field, without what follows the name."""
        fields = self.page.locator(".field").filter(has=self.page.locator(".problem:not(:empty)")).all()
        return {each.locator("label bdi").inner_text(): each.locator(".problem").inner_text() for each in fields}
