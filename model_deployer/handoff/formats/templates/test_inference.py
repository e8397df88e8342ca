"""The tests of this package; they need no files but those of the package.

pytest tests                              # offline: model/predictor.py, the ONNX model and the pickles
URL=https://models.example pytest tests   # a deployment of the service; set API_KEY as well if it requires a key
"""

import json
import math
import os
import pickle
import pickletools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pytest

PACKAGE = Path(__file__).resolve().parent.parent
SAMPLES = json.loads((PACKAGE / "examples" / "sample_requests.json").read_text(encoding="utf-8"))
METADATA = json.loads((PACKAGE / "model" / "model_metadata.json").read_text(encoding="utf-8"))
STEM = f"model_v{METADATA['manifest']['version']}"
ANSWERED = [*SAMPLES["golden"], *SAMPLES["edge"]]
REFUSED = [sample for sample in SAMPLES["invalid"] if sample["answer"].get("errors") and sample["request"]]
URL = os.environ.get("URL")

offline = pytest.mark.skipif(bool(URL), reason="URL is set: only the deployment is tested")
deployed = pytest.mark.skipif(not URL, reason="URL is not set: only the files are tested")


def name(sample: dict[str, Any]) -> str:
    return str(sample["case"])


def close(expected: Any, actual: Any) -> bool:
    """Return whether two answers are equal, with numbers within the model's tolerance."""
    if isinstance(expected, dict):
        return expected.keys() == actual.keys() and all(close(value, actual[key]) for key, value in expected.items())
    if isinstance(expected, list):
        return len(expected) == len(actual) and all(map(close, expected, actual))
    if isinstance(expected, float | int) and not isinstance(expected, bool):
        return math.isclose(expected, actual, rel_tol=1e-5, abs_tol=SAMPLES["tolerance"])
    return bool(expected == actual)


# Tests of the files, without URL


@pytest.fixture(scope="module")
def library() -> Any:
    """model/predictor.py as a module."""
    sys.path.insert(0, str(PACKAGE / "model"))
    import predictor  # noqa: PLC0415

    return predictor


@pytest.fixture(scope="module")
def model(library: Any) -> Any:
    """The model of model/predictor.py, on the ONNX file."""
    return library.load()


@offline
@pytest.mark.parametrize("sample", ANSWERED, ids=name)
def test_the_onnx_model_gives_the_expected_answer(model: Any, sample: dict[str, Any]) -> None:
    assert close(sample["answer"]["predictions"], model.predict(sample["request"]["rows"]))


@offline
@pytest.mark.parametrize("sample", REFUSED, ids=name)
def test_the_library_refuses_what_the_service_refuses(library: Any, model: Any, sample: dict[str, Any]) -> None:
    with pytest.raises(library.InvalidRows) as refusal:
        model.predict(sample["request"]["rows"])
    assert refusal.value.problems == sample["answer"]["errors"]
    assert refusal.value.total == sample["answer"]["error_count"]


@offline
def test_the_pickles_give_the_expected_answers(library: Any) -> None:
    if not (PACKAGE / "model" / "preprocessor.pkl").exists():
        pytest.skip("this package has no pickles; docs/MODEL_CARD.md says why")
    preprocessor, model = (
        pickle.loads((PACKAGE / "model" / name).read_bytes()) for name in ("preprocessor.pkl", f"{STEM}.pkl")
    )
    assert isinstance(model, library.Predictor)
    for sample in ANSWERED:
        rows, expected = sample["request"]["rows"], sample["answer"]["predictions"]
        assert close(expected, model.predict(rows))
        assert close(expected, model.predict(preprocessor.transform(rows)))


@offline
def test_the_joblib_file_gives_the_expected_answers(library: Any) -> None:
    model = joblib.load(PACKAGE / "model" / f"{STEM}.joblib")
    assert isinstance(model, library.Predictor)
    for sample in ANSWERED:
        assert close(sample["answer"]["predictions"], model.predict(sample["request"]["rows"]))


@offline
def test_the_pickles_name_nothing_but_classes_of_predictor_py() -> None:
    for path in (PACKAGE / "model").glob("*.pkl"):
        assert imports_of(path.read_bytes()) <= {"predictor Predictor", "predictor Preprocessor"}


def imports_of(content: bytes) -> set[str]:
    """Return the names that a pickle imports, without loading it."""
    imports, strings = set(), []
    for opcode, argument, _ in pickletools.genops(content):
        if isinstance(argument, str) and "UNICODE" in opcode.name:
            strings.append(argument)
        if opcode.name == "GLOBAL":
            imports.add(str(argument))
        if opcode.name == "STACK_GLOBAL":
            imports.add(" ".join(strings[-2:]))
    return imports


@offline
def test_rows_are_answered_alike_alone_and_together(model: Any) -> None:
    rows = [row for sample in ANSWERED for row in sample["request"]["rows"]]
    expected = [prediction for sample in ANSWERED for prediction in sample["answer"]["predictions"]]
    assert close(expected, model.predict(rows))


@offline
def test_preprocessing_takes_what_is_missing_and_what_it_never_saw(model: Any) -> None:
    row = dict(SAMPLES["golden"][0]["request"]["rows"][0])
    for feature in METADATA["contract"]["features"]:
        for value in odd_values(feature):
            (prediction,) = model.predict([row | {feature["name"]: value}])
            assert all(math.isfinite(number) for number in numbers(prediction)), feature["name"]


def odd_values(feature: dict[str, Any]) -> Iterator[Any]:
    """Yield values at the limits of what the contract accepts for a field."""
    if feature["nullable"]:
        yield None
    if feature["kind"] in ("numeric", "integer"):
        yield from (bound for bound in (feature["minimum"], feature["maximum"]) if bound is not None)
        if feature["out_of_range"] == "clamp":
            yield from (-(2**53), 2**53, -0.0) if feature["kind"] == "integer" else (-1e300, 1e300, -0.0)
    if feature["kind"] == "categorical" and feature["unknown"] == "accept":
        yield from ("a category never seen", "\U0001f600")
    if feature["kind"] in ("vector", "sequence"):
        for bound in (feature["minimum"] or 0, feature["maximum"] or 1):
            yield from ([bound] * feature[end] for end in ("length", "shortest", "longest") if end in feature)
    if feature["kind"] == "text":
        yield from ("", "x" * feature["longest"])


def numbers(prediction: dict[str, Any]) -> list[float]:
    values = prediction.get("probabilities", prediction.get("values", prediction))
    return values if isinstance(values, list) else list(values.values())


@offline
def test_the_model_answers_in_time(model: Any, record_property: Any) -> None:
    rows = SAMPLES["golden"][0]["request"]["rows"]
    report("one row, offline", lambda: model.predict(rows), record_property)


def report(title: str, call: Any, record_property: Any) -> None:
    """Time a call and print the latency. There is no limit to pass, because machines differ."""
    call()
    seconds = []
    for _ in range(200):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    p50, p99 = (1000 * float(np.percentile(seconds, share)) for share in (50, 99))
    record_property(title, f"p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    print(f"\n{title}: p50 {p50:.2f} ms, p99 {p99:.2f} ms over 200 calls")


# Tests of a deployment, with URL


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of the deployment."""
    key = os.environ.get("API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=URL or "", headers=headers, timeout=60) as client:
        yield client


@deployed
def test_the_deployment_is_ready_and_answers_with_this_model(client: httpx.Client) -> None:
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200
    model = client.get("/model").json()
    assert {key: model[key] for key in ("name", "version")} == SAMPLES["model"]


@deployed
@pytest.mark.parametrize("sample", [*ANSWERED, *SAMPLES["invalid"]], ids=name)
def test_the_deployment_gives_the_expected_answer(client: httpx.Client, sample: dict[str, Any]) -> None:
    body = json.dumps(sample["request"]) if sample["body"] is None else sample["body"]
    headers = {"Content-Type": "application/json"} | sample["headers"]
    response = client.post("/predict", content=body.encode(), headers=headers)
    answer = response.json()
    answer.pop("request_id", None)
    assert response.status_code == sample["status"], answer
    assert close(sample["answer"], answer)


@deployed
def test_the_deployment_returns_the_request_id(client: httpx.Client) -> None:
    response = client.post("/predict", json=SAMPLES["golden"][0]["request"], headers={"X-Request-ID": "test-1"})
    assert response.headers["x-request-id"] == "test-1"


@deployed
def test_the_deployment_counts_what_it_answers(client: httpx.Client) -> None:
    client.post("/predict", json=SAMPLES["golden"][0]["request"])
    text = client.get("/metrics").text
    assert "model_requests_total" in text
    assert f'version="{SAMPLES["model"]["version"]}"' in text


@deployed
def test_the_deployment_answers_in_time(client: httpx.Client, record_property: Any) -> None:
    request = SAMPLES["golden"][0]["request"]
    report("one row, over HTTP", lambda: client.post("/predict", json=request).raise_for_status(), record_property)
