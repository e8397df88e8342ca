"""The web page in a real browser, in front of real servers."""

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_deployer.contract.adoption import Adoption
from model_deployer.contract.artifact import Manifest
from model_deployer.contract.contract import Contract
from model_deployer.contract.outputs import Classification, Regression
from model_deployer.contract.value_warnings import WARNING_CODES
from tests.serving.page.keyed import KEY, KEYED
from tests.serving.page.prefix_proxy import serve_below
from tests.support import models, tensor_models, tiny
from tests.support.processes import Server
from tests.support.servers import Profile, SharedServers

pytest.importorskip("playwright", reason="playwright is not installed; `make test` installs it")

from playwright.sync_api import Browser, FilePayload, expect

from tests.serving.page.browser import CHROMIUM, Reader, open_browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: on Debian, apt-get install chromium"),
]

HOSTILE = Profile(contract=models.MANY, write=models.write)

OF_A_QUANTILE = tiny.CONTRACT.model_copy(
    update={"output": Regression(target="delay", unit="minutes", quantile=0.95, coverage=0.8)}
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def reader(browser: Browser) -> Iterator[Reader]:
    """A reader whose page has no errors in the console, and sends requests only to this machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    reader = Reader(context.new_page())
    yield reader
    context.close()
    assert reader.complaints == []
    hosts = {request.url.split("/")[2].split(":")[0] for request in reader.requests}
    assert hosts <= {"127.0.0.1", "localhost"}


def test_form_has_the_example_and_gets_the_answer_of_the_service(server: Server, reader: Reader) -> None:
    reader.open(server.url)
    answer = reader.predict()
    assert reader.sent_row() == tiny.ROW
    assert answer.pop("warnings") == []
    assert answer.pop("warning_count") == 0
    assert answer == httpx.post(f"{server.url}/predict", json=tiny.ROW).json()
    assert reader.page.locator(".warning").count() == 0
    assert reader.page.title() == "served 1.0.0"


def test_changed_values_are_sent_and_answered_in_words(server: Server, reader: Reader) -> None:
    reader.open(server.url)
    page = reader.page
    page.get_by_label("distance").fill("12.5")
    page.get_by_label("origin").select_option("EWR")
    page.get_by_label("carrier").select_option("(another value)")
    page.get_by_label("another value").fill("X1")
    page.get_by_label("holiday").select_option("true")
    page.get_by_label("departure").fill("2020-02-29T12:00")
    page.get_by_label("booked").fill("2020-02-28T11:00:05")
    page.get_by_label("UTC offset").fill("+02:00")
    page.get_by_label("remark").fill('two\nlines "quoted"')
    row = tiny.ROW | {
        "distance": 12.5,
        "origin": "EWR",
        "carrier": "X1",
        "holiday": True,
        "departure": "2020-02-29T12:00:00",
        "booked": "2020-02-28T11:00:05+02:00",
        "remark": 'two\nlines "quoted"',
    }
    answer = reader.predict()
    assert reader.sent_row() == row
    (prediction,) = answer["predictions"]
    assert prediction == httpx.post(f"{server.url}/predict", json=row).json()["predictions"][0]
    text = page.locator(".answer").inner_text()
    share = f"{100 * prediction['probabilities'][prediction['decision']]:.1f}".removesuffix(".0")
    assert f"arrival: {prediction['decision']}, with a probability of {share} %" in text
    assert "The decision is on_time if its probability is at least 50 %, else late." in text
    (warning,) = page.locator(".warning").all()
    meaning = WARNING_CODES["unknown_category"]
    assert warning.inner_text() == f"The value of carrier {meaning}, so the prediction may be unreliable."


def test_problem_is_at_its_field(server: Server, reader: Reader) -> None:
    reader.open(server.url)
    page = reader.page
    page.get_by_label("distance").fill("5001")
    page.get_by_label("seats").fill("1.5")
    assert reader.predict()["code"] == "invalid_rows"
    assert reader.problems() == {
        "distance": "expected a number from 0 to 5000",
        "seats": "expected a whole number from 1 to 500",
    }
    assert "See the fields distance, seats." in page.locator(".answer").inner_text()
    distance = page.get_by_label("distance")
    assert distance.get_attribute("aria-invalid") == "true"
    assert distance.evaluate("input => input === document.activeElement")
    described = distance.evaluate(
        "input => input.getAttribute('aria-describedby').split(' ').map(id => document.getElementById(id).textContent)"
    )
    assert described[1] == "expected a number from 0 to 5000"
    distance.fill("5000")
    page.get_by_label("seats").fill("1")
    assert "predictions" in reader.predict()
    assert reader.problems() == {}


def test_missing_values_are_left_out_or_refused(server: Server, reader: Reader) -> None:
    reader.open(server.url)
    page = reader.page
    page.get_by_label("temp").fill("")
    page.get_by_label("remark").fill("")
    page.get_by_label("booked").fill("")
    for name in ("holiday", "carrier"):
        page.get_by_label(name).select_option("(missing)")
    assert "predictions" in reader.predict()
    assert reader.sent_row().keys() == {"distance", "seats", "origin", "departure"}
    page.get_by_label("seats").fill("")
    page.get_by_label("departure").fill("")
    assert reader.predict()["code"] == "invalid_rows"
    assert reader.problems().keys() == {"seats", "departure"}
    page.get_by_role("button", name="Example values").click()
    assert "predictions" in reader.predict()
    assert reader.sent_row() == tiny.ROW


def test_what_the_browser_cannot_read_is_not_sent(server: Server, reader: Reader) -> None:
    reader.open(server.url)
    distance = reader.page.get_by_label("distance")
    distance.fill("")
    distance.press_sequentially("1e")
    reader.page.get_by_role("button", name="Predict").click()
    assert reader.problems() == {"distance": "expected a number"}
    assert not [request for request in reader.requests if request.method == "POST"]


def test_page_asks_for_a_key_and_keeps_it_in_memory(servers: SharedServers, reader: Reader) -> None:
    page = reader.page
    reader.open(servers.get(KEYED).url)
    assert "served" not in page.content()
    page.get_by_label("Key").fill("wrong-key-of-a-reader")
    page.get_by_role("button", name="Continue").click()
    page.get_by_text("The service refused this key.").wait_for()
    page.get_by_label("Key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="served 1.0.0")).to_be_focused()
    assert "predictions" in reader.predict()
    assert "YOUR_API_KEY" in page.get_by_role("region", name="Code of the request").inner_text()
    assert KEY not in page.content()
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    page.reload()
    page.get_by_label("Key").wait_for()


@pytest.mark.parametrize("slash", ["/", ""])
def test_page_works_behind_a_path_prefix(server: Server, reader: Reader, slash: str) -> None:
    with serve_below("/churn", server.url) as url:
        reader.open(url + slash)
        assert "predictions" in reader.predict()
        assert f"{url}/predict" in reader.page.get_by_role("region", name="Code of the request").inner_text()
        assert {request.url.startswith(url) for request in reader.requests} == {True}


def test_page_fits_on_a_telephone(servers: SharedServers, reader: Reader) -> None:
    """At a width of 360 pixels nothing is wider than the screen, with every part of its own operations open."""
    page = reader.page
    page.set_viewport_size({"width": 360, "height": 740})
    reader.open(servers.get(HOSTILE).url)
    reader.predict()
    closed = page.locator(":is(section > details, section > .operation details, .answer details):not([open])")
    while closed.count():
        closed.evaluate_all("parts => parts.forEach(part => { part.open = true; })")
        expect(page.locator("details[open] > summary:only-child")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_reference_lists_every_operation(server: Server, reader: Reader) -> None:
    reader.open(server.url)
    document = httpx.get(f"{server.url}/docs.json").json()
    operations = [f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item]
    groups = reader.page.locator("section > details:not(.operation)")
    groups.evaluate_all("parts => parts.forEach(part => { part.open = true; })")
    summaries = reader.page.locator(".operation > summary")
    expect(summaries).to_have_count(len(operations))
    texts = [" ".join(text.split()[:2]) for text in summaries.all_inner_texts()]
    assert sorted(texts) == sorted(operations)
    assert texts[0] == "POST /predict"
    assert reader.page.locator(".operation[open]").count() == 1


def test_every_control_has_a_name(server: Server, reader: Reader) -> None:
    reader.open(server.url)
    unnamed = reader.page.locator("input, select, textarea").evaluate_all(
        "controls => controls.filter(each => !each.labels.length && !each.getAttribute('aria-label')).length"
    )
    assert unnamed == 0


def test_keyboard_alone_is_enough(server: Server, reader: Reader) -> None:
    """The keys reach the fields in their order, and Enter sends the row."""
    reader.open(server.url)
    page = reader.page
    page.get_by_label("distance").focus()
    page.keyboard.press("Tab")
    assert page.get_by_label("temp").evaluate("input => input === document.activeElement")
    with page.expect_response("**/predict?warnings=true"):
        page.keyboard.press("Enter")


def test_hostile_texts_are_shown_as_text(servers: SharedServers, reader: Reader) -> None:
    """Names, categories and labels with markup and control characters are shown, sent and answered."""
    server = servers.get(HOSTILE)
    page = reader.page
    reader.open(server.url)
    assert page.locator(".field label bdi").all_text_contents() == models.MANY.names
    assert page.locator(".field b, .probabilities b, h1 b").count() == 0
    page.locator(".field").filter(has_text="a,b").first.get_by_role("spinbutton").fill("0.5")
    answer = reader.predict()
    row = reader.sent_row()
    assert row.keys() >= {name for name in models.MANY.names if models.MANY.example().get(name) is not None}
    assert answer["predictions"] == httpx.post(f"{server.url}/predict", json=row).json()["predictions"]
    assert isinstance(models.MANY.output, Classification)
    labels = page.locator(".probabilities bdi").all_text_contents()
    assert sorted(labels) == sorted(models.MANY.output.labels)
    assert "A set like this is made to contain the true label in 90 % of cases" in page.locator(".answer").inner_text()


def test_code_sends_the_same_request(servers: SharedServers, reader: Reader, tmp_path: Path) -> None:
    """The code of the languages that this machine has, with a model whose texts need every kind of quoting."""
    server = servers.get(HOSTILE)
    page = reader.page
    reader.open(server.url)
    predictions = reader.predict()["predictions"]

    def code(language: str) -> str:
        page.get_by_label("Language").select_option(language)
        return page.get_by_role("region", name="Code of the request").text_content() or ""

    def output(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert json.loads(output("sh", "-c", code("curl").replace("curl ", "curl -s ", 1)))["predictions"] == predictions
    for language in ("Python, BentoML", "Python, httpx"):
        assert output(sys.executable, "-c", code(language)).strip() == str(predictions[0])
    if shutil.which("node"):
        assert "decision" in output("node", "--input-type=module", "-e", code("JavaScript"))
    if shutil.which("java"):
        file = tmp_path / "Predict.java"
        file.write_text(code("Java"), encoding="utf-8")
        status, _, body = output("java", "-Dfile.encoding=UTF-8", str(file)).partition(" ")
        assert status == "200"
        assert "predictions" in body


def test_quantile_in_words(servers: SharedServers, reader: Reader) -> None:
    reader.open(servers.get(Profile(contract=OF_A_QUANTILE)).url)
    answer: dict[str, Any] = reader.predict()["predictions"][0]
    text = reader.page.locator(".answer").inner_text()
    value, lower, upper = (f"{answer[name]:.5g}" for name in ("value", "lower", "upper"))
    assert f"delay: {value} minutes" in text
    assert "The truth is at or below this value in 95 % of cases." in text
    assert f"In 80 % of cases the truth is between {lower} and {upper} minutes." in text


def write_adopted(folder: Path, contract: Contract) -> Manifest:
    """Write a model whose evaluation says that it was trained elsewhere."""
    metric = {"value": 0.5, "low": 0.4, "high": 0.6}
    adoption = Adoption(
        source="model.pkl",
        digest=f"sha256:{'0' * 64}",
        format="pickle",
        estimator=None,
        stored_with={},
        answered_with={},
        served_by="graph",
    )
    evaluation = {
        "metrics": {"model": {"log_loss": metric}},
        "rows": {"train": 20, "validation": 30, "test": 50},
        "adoption": adoption.to_json(),
    }
    return tiny.write(folder, "served", contract=contract, evaluation=evaluation)


def test_a_model_that_was_trained_elsewhere_is_not_described_by_its_training(
    servers: SharedServers, reader: Reader
) -> None:
    reader.open(servers.get(Profile(write=write_adopted)).url)
    reader.predict()
    text = reader.page.locator("main").inner_text()
    assert "Measured on 50 rows that the source may have been trained on." in text
    assert "20 for the baselines, 30 for validation, 50 to measure the model" in text
    assert "model.pkl" in text
    assert "The decision is on_time if its probability is above 50 %, else late." in text
    assert "Adopted" in text and "Trained" not in text


def test_tensors_are_nested_lists_in_a_text_area(servers: SharedServers, reader: Reader) -> None:
    server = servers.get(Profile(tensor_models.WITH_TENSORS, tensor_models.write_tensors))
    reader.open(server.url)
    reader.predict()
    assert reader.sent_row() == tensor_models.WITH_TENSORS.example()
    spectrogram = reader.page.get_by_label("spectrogram")
    spectrogram.fill("[1, 2, 3, 4]")
    reader.page.get_by_role("button", name="Predict").click()
    assert reader.problems() == {"spectrogram": "expected nested lists of numbers, such as [[0.5, -1], [2, 3]]"}
    spectrogram.fill("[[1, 2, 3, 4], [5]]")
    assert reader.predict()["code"] == "invalid_rows"
    assert "the list at [1] has 1 items" in reader.problems()["spectrogram"]


def test_vectors_are_lists_in_a_text_area(servers: SharedServers, reader: Reader) -> None:
    server = servers.get(Profile(tensor_models.CONTRACT, tensor_models.write_vectors))
    reader.open(server.url)
    reader.predict()
    assert reader.sent_row() == tensor_models.CONTRACT.example()
    embedding = reader.page.get_by_label("embedding")
    embedding.fill("[1, 2, ")
    reader.page.get_by_role("button", name="Predict").click()
    assert reader.problems() == {"embedding": "expected a list of numbers, such as [0.5, -1, 2]"}
    embedding.fill("[1, 2]")
    assert reader.predict()["code"] == "invalid_rows"
    assert reader.problems() == {"embedding": "expected a list of 8 numbers; it has 2"}
    embedding.fill("[1, 2, 3, 4, 5, 6, 7, 8.5]")
    reader.page.get_by_label("tokens").fill("")
    answer = reader.predict()
    row = {"embedding": [1, 2, 3, 4, 5, 6, 7, 8.5], "age": 3.5}
    assert reader.sent_row() == row
    assert answer["predictions"] == httpx.post(f"{server.url}/predict", json=row).json()["predictions"]


def test_a_file_is_sent_as_an_image(servers: SharedServers, reader: Reader) -> None:
    server = servers.get(Profile(tensor_models.WITH_IMAGE, tensor_models.write_images))
    reader.open(server.url)
    reader.predict()
    assert reader.sent_row() == tensor_models.WITH_IMAGE.example()
    content = tensor_models.image_content(5)
    reader.page.get_by_label("photo").set_input_files(FilePayload(name="a.png", mimeType="image/png", buffer=content))
    expect(reader.page.get_by_text("until you choose a file")).to_be_hidden()
    answer = reader.predict()
    row = {"photo": base64.b64encode(content).decode(), "age": 3.5}
    assert reader.sent_row() == row
    assert answer["predictions"] == httpx.post(f"{server.url}/predict", json=row).json()["predictions"]
