"""The page of a monitor in a real browser: it fits, loads nothing, escapes texts, and follows the colour scheme."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Browser

from model_deployer.api import Model
from model_deployer.monitoring.monitor.monitor import MonitorReport
from model_deployer.monitoring.monitor.page import page
from tests.serving.page.browser import CHROMIUM, open_browser
from tests.support import parcels
from tests.support.parcels import World

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")]

HOSTILE = "<img src=x onerror=alert(1)> & \"quoted\" 'name' \u202e"


@pytest.fixture(scope="module")
def report(parcel_model: Model, tmp_path_factory: pytest.TempPathFactory) -> MonitorReport:
    folder = tmp_path_factory.mktemp("store")
    world = World(sent=lambda rows: rows.with_columns(temperature=pl.lit(None, pl.Float64)))
    parcels.write_traffic(folder, parcel_model, world)
    return parcels.watched(parcel_model, folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_fits_and_begins_with_the_verdict(
    report: MonitorReport, browser: Browser, tmp_path: Path, width: int
) -> None:
    (tmp_path / "page.html").write_text(page(report))
    reader = browser.new_page(viewport={"width": width, "height": 900})
    requests: list[str] = []
    reader.on("request", lambda request: requests.append(request.url))
    reader.goto(f"file://{tmp_path}/page.html")
    assert len(requests) == 1
    assert reader.evaluate("document.documentElement.scrollWidth") <= width
    first = reader.locator("section").first.inner_text()
    assert "Fix the data: 'temperature' is broken before the model sees it." in first
    assert "2024-03-21" in first
    pictures = reader.locator("svg[aria-label^='Shares of temperature']")
    assert pictures.count() == 1
    assert reader.locator("svg[aria-label^='Rows and mean cost']").bounding_box() is not None
    reader.close()


def test_texts_of_callers_are_escaped_and_dark_is_dark(report: MonitorReport, browser: Browser, tmp_path: Path) -> None:
    observed = report.observed
    renamed = observed.fields[0].model_copy(update={"about": HOSTILE, "then": {HOSTILE: 1.0}, "now": {HOSTILE: 1.0}})
    changed = report.model_copy(
        update={
            "observed": observed.model_copy(update={"fields": (renamed,), "unwatched": {HOSTILE: HOSTILE}}),
            "verdict": report.verdict.model_copy(update={"headline": HOSTILE, "cause": HOSTILE}),
        }
    )
    (tmp_path / "page.html").write_text(page(changed))
    reader = browser.new_context(color_scheme="dark").new_page()
    reader.goto(f"file://{tmp_path}/page.html")
    assert reader.locator("img").count() == 0
    assert HOSTILE[:20] in reader.locator("h2").first.inner_text()
    colours = reader.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colours == "rgb(20, 24, 28)"
    reader.close()
