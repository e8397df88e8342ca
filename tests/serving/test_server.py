"""The service from the outside: a real server, a real socket, real clients."""

import gzip
import http.client
import json
import re
import shutil
import socket
import zlib
from pathlib import Path
from typing import Any

import bentoml
import httpx
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from prometheus_client.parser import text_string_to_metric_families

from model_deployer.contract import artifact
from tests.support import tiny
from tests.support.processes import ROOT, Server, free_port, run, serve


@pytest.fixture(scope="module")
def client(server: Server) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=30)


def post(client: httpx.Client, content: bytes | Any, **headers: str) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return client.post("/predict", content=body, headers={"content-type": "application/json"} | headers)


def test_rows_get_predictions_in_their_order(client: httpx.Client) -> None:
    rows = [tiny.ROW | {"origin": origin} for origin in ("JFK", "EWR", "JFK")]
    answer = post(client, {"rows": rows})
    assert answer.status_code == 200
    predictions = answer.json()["predictions"]
    assert predictions[0] == predictions[2] != predictions[1]
    assert answer.json()["model"] == {"name": "served", "version": "1.0.0"}


def test_a_bare_row_gets_one_prediction(client: httpx.Client) -> None:
    assert post(client, tiny.ROW).json() == post(client, {"rows": [tiny.ROW]}).json()


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_body_is_as_good_as_a_plain_one(client: httpx.Client, encoding: str, compress: Any) -> None:
    body = compress(json.dumps({"rows": [tiny.ROW] * 3}).encode())
    assert post(client, body, **{"content-encoding": encoding}).json() == post(client, {"rows": [tiny.ROW] * 3}).json()


def test_the_answer_is_the_same_alone_and_in_a_full_request(client: httpx.Client) -> None:
    prediction = post(client, tiny.ROW).json()["predictions"][0]
    assert post(client, {"rows": [tiny.ROW] * 100}).json()["predictions"] == [prediction] * 100


def test_a_request_id_comes_back_and_is_made_where_none_came(client: httpx.Client) -> None:
    assert post(client, tiny.ROW, **{"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert re.fullmatch("[0-9a-f]{32}", post(client, tiny.ROW).headers["x-request-id"])
    assert re.fullmatch("[0-9a-f]{32}", post(client, tiny.ROW, **{"x-request-id": "x" * 129}).headers["x-request-id"])


@pytest.mark.parametrize("timeout", ["5s", "-1", "0", "", "1.5", "9999999999"])
def test_a_timeout_that_cannot_be_read_is_refused(client: httpx.Client, timeout: str) -> None:
    answer = post(client, tiny.ROW, **{"x-request-timeout-ms": timeout})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_header")


def test_a_body_has_to_arrive_in_the_time_that_the_client_allows(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nX-Request-Timeout-Ms: 50\r\nContent-Length: 5000\r\n\r\n{"
        )
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, json.loads(answer.read())["code"]) == (408, "request_timeout")


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", {}, 400, "malformed_body"),
        (b"{", {}, 400, "malformed_body"),
        (b"\xff", {}, 400, "malformed_body"),
        (b"[" * 90_000, {}, 400, "malformed_body"),
        ({"rows": []}, {}, 400, "malformed_body"),
        ({"rows": [tiny.ROW] * 101}, {}, 413, "too_many_rows"),
        (b'{"rows": "' + b"x" * 100_000 + b'"}', {}, 413, "body_too_large"),
        (tiny.ROW, {"content-type": "text/plain"}, 415, "unsupported_media_type"),
        (tiny.ROW, {"content-type": "multipart/form-data; boundary=x"}, 415, "unsupported_media_type"),
        (tiny.ROW, {"content-encoding": "compress"}, 415, "unsupported_media_type"),
        (tiny.ROW, {"content-encoding": "gzip"}, 400, "malformed_body"),
        (gzip.compress(b"0" * 100_000_000), {"content-encoding": "gzip"}, 413, "body_too_large"),
        ({"rows": [tiny.ROW | {"distance": "x"}]}, {}, 422, "invalid_rows"),
    ],
)
def test_what_is_wrong_is_answered_as_a_problem(
    client: httpx.Client, body: Any, headers: dict[str, str], status: int, code: str
) -> None:
    answer = post(client, body, **headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/predict"), ("PUT", "/predict"), ("DELETE", "/model")])
def test_a_wrong_method_is_answered_with_the_right_ones(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == {"/predict": "POST", "/model": "GET, HEAD"}[path]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("POST", "/predict/flights", 404, "not_found"),
        ("POST", "/livez", 405, "method_not_allowed"),
    ],
)
def test_what_bentoml_refuses_is_answered_as_a_problem_too(
    client: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    answer = client.request(method, path, headers={"x-request-id": "mine-2"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (answer.json()["code"], answer.json()["request_id"]) == (code, "mine-2")


@pytest.mark.parametrize("second", ["application/vnd.bentoml+pickle", "multipart/form-data; boundary=x", "text/plain"])
def test_a_second_content_type_opens_no_other_door(client: httpx.Client, second: str) -> None:
    both = [("content-type", "application/json"), ("content-type", second)]
    for headers in (both, both[::-1]):
        answer = client.post("/predict", content=json.dumps(tiny.ROW), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_a_connection_is_of_use_after_a_body_that_was_too_large(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for content, status in ((b"x" * 5_000_000, 413), (json.dumps(tiny.ROW).encode(), 200)):
        connection.request("POST", "/predict", content, {"content-type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == status
        answer.read()
    connection.close()


def test_a_body_in_chunks_is_held_to_the_limit(client: httpx.Client) -> None:
    answer = client.post("/predict", content=iter([b"x" * 60_000] * 2), headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_bad_requests_leave_nothing_behind(server: Server, client: httpx.Client) -> None:
    secret = "do-not-log-me-4711"
    post(client, tiny.ROW | {"distance": secret, "origin": secret})
    post(client, secret.encode())
    answer = post(client, tiny.ROW | {"distance": secret})
    assert secret not in answer.text
    assert secret not in server.log.read_text()
    assert post(client, tiny.ROW).status_code == 200


@pytest.mark.slow
def test_half_sent_body_does_not_keep_server_from_stopping(tmp_path: Path) -> None:
    """A client that leaves in the middle of its body does not keep the server from stopping."""
    home = tiny.home(tmp_path / "home", "1.0.0")
    with serve([], home, tmp_path / "log") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{")
        assert httpx.post(f"{server.url}/predict", json=tiny.ROW).status_code == 200
        server.process.terminate()
        assert server.process.wait(timeout=20) == 0


def test_the_service_is_alive_and_ready(client: httpx.Client) -> None:
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200


def test_the_model_describes_itself(client: httpx.Client) -> None:
    model = client.get("/model").json()
    assert model["version"] == "1.0.0"
    assert [feature["name"] for feature in model["contract"]["features"]] == tiny.CONTRACT.names


def test_metrics_count_what_happened(server: Server, client: httpx.Client) -> None:
    samples = (
        'model_requests_total{protocol="native",route="/predict",status="200"}',
        "model_rows_total",
        'model_invalid_values_total{code="out_of_range",field="distance"}',
        'model_invalid_values_total{code="unknown_field",field="other"}',
    )
    before = list(map(server.metric, samples))
    post(client, {"rows": [tiny.ROW] * 3})
    post(client, tiny.ROW | {"distance": -1, "stranger": 1})
    differences = [server.metric(sample) - old_value for sample, old_value in zip(samples, before, strict=True)]
    assert differences == [1, 3, 1, 1]


def test_latencies_are_counted_by_the_rows_of_a_request(server: Server, client: httpx.Client) -> None:
    """Each request is counted with the upper bound of its rows, also in another protocol; a refused one with 0."""
    samples = [
        f'model_request_seconds_count{{protocol="{protocol}",route="{route}",rows="{rows}",status="{status}"}}'
        for protocol, route, rows, status in (
            ("native", "/predict", "1", "2xx"),
            ("native", "/predict", "10", "2xx"),
            ("native", "/predict", "100", "2xx"),
            ("native", "/predict", "0", "4xx"),
            ("invocations", "/invocations", "10", "2xx"),
        )
    ]
    before = list(map(server.metric, samples))
    for rows in (1, 3, 100):
        assert post(client, {"rows": [tiny.ROW] * rows}).status_code == 200
    post(client, tiny.ROW | {"distance": -1})
    assert client.post("/invocations", json={"dataframe_records": [tiny.ROW] * 2}).status_code == 200
    differences = [server.metric(sample) - old_value for sample, old_value in zip(samples, before, strict=True)]
    assert differences == [1, 1, 1, 1, 1]


def test_live_values_are_counted_in_the_bins_of_training(server: Server, client: httpx.Client) -> None:
    def counts() -> dict[tuple[str, str], float]:
        families = text_string_to_metric_families(client.get("/metrics").text)
        return {
            (sample.labels.get("feature", "prediction"), sample.labels["bin"]): sample.value
            for family in families
            for sample in family.samples
            if sample.name in ("model_feature_values_total", "model_predictions_total")
        }

    before = counts()
    rows: list[dict[str, Any]] = [
        {"distance": 733.5},
        {"distance": 4000, "origin": "LGA", "remark": None},
        {"temp": None, "origin": "EWR"},
    ]
    assert post(client, {"rows": [tiny.ROW | row for row in rows]}).status_code == 200
    differences = {key: count - before[key] for key, count in counts().items() if count != before[key]}
    assert differences == {
        ("distance", "800"): 2,
        ("distance", "+Inf"): 1,
        ("temp", "60"): 2,
        ("temp", "missing"): 1,
        ("origin", "JFK"): 1,
        ("origin", "EWR"): 1,
        ("origin", "other"): 1,
        ("remark", "10"): 2,
        ("remark", "missing"): 1,
        ("prediction", "+Inf"): 3,
    }


def test_no_path_becomes_a_label(server: Server, client: httpx.Client) -> None:
    unknown = 'model_requests_total{protocol="native",route="other",status="404"}'
    before = server.metric(unknown)
    client.get("/made-up-by-a-scanner")
    assert server.metric(unknown) == before + 1
    text = client.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {"model_requests", "model_request_seconds", "model_rows", "model_info"} <= families.keys()
    assert "made-up-by-a-scanner" not in text


def test_the_openapi_document_is_valid_and_speaks_of_this_model(client: httpx.Client) -> None:
    document = client.get("/docs.json").json()
    validate(document)
    schemas = document["components"]["schemas"]
    assert schemas["Row"]["properties"]["origin"] == {"$ref": "#/components/schemas/FieldOrigin"}
    assert schemas["FieldOrigin"]["enum"] == ["EWR", "JFK", "LGA"]
    assert schemas["FieldDistance"]["maximum"] == 5000
    assert "Unit: miles." in schemas["FieldDistance"]["description"]


def test_the_documented_examples_and_schemas_are_true(client: httpx.Client) -> None:
    document = client.get("/docs.json").json()
    schemas = document["components"]["schemas"]
    operation = document["paths"]["/predict"]["post"]
    for example in operation["requestBody"]["content"]["application/json"]["examples"].values():
        answer = post(client, example["value"])
        assert answer.status_code == 200
        name = "TableAnswer" if "columns" in example["value"] else "Answer"
        jsonschema.validate(answer.json(), {"$ref": f"#/components/schemas/{name}"} | document)
    documented_answer = operation["responses"]["200"]["content"]["application/json"]["example"]
    assert post(client, tiny.ROW).json()["model"] == documented_answer["model"]
    (prediction,) = documented_answer["predictions"]
    assert post(client, tiny.ROW).json()["predictions"][0]["probabilities"] == pytest.approx(
        prediction["probabilities"]
    )
    refusal = post(client, {"distance": "far"})
    jsonschema.validate(refusal.json(), schemas["Problem"])
    model = document["paths"]["/model"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(client.get("/model").json(), model)
    assert str(refusal.status_code) in operation["responses"]


def test_bentomls_own_client_works(server: Server, client: httpx.Client) -> None:
    with bentoml.SyncHTTPClient(server.url) as own:
        assert own.predict(rows=[tiny.ROW]) == post(client, {"rows": [tiny.ROW]}).json()
        with pytest.raises(bentoml.exceptions.BentoMLException, match="invalid_rows") as caught:
            own.predict(rows=[tiny.ROW | {"distance": -5}])
        assert caught.value.error_code == 422


async def test_bentomls_own_asynchronous_client_works(server: Server, client: httpx.Client) -> None:
    async with bentoml.AsyncHTTPClient(server.url) as own:
        assert await own.predict(rows=[tiny.ROW]) == post(client, {"rows": [tiny.ROW]}).json()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
VALUES = st.fixed_dictionaries({}, optional={feature.name: JSON for feature in tiny.FEATURES})


@settings(max_examples=150)
@given(st.one_of(JSON, VALUES, st.fixed_dictionaries({"rows": st.lists(VALUES | JSON, max_size=3)})))
def test_no_json_is_a_server_error(client: httpx.Client, content: Any) -> None:
    answer = post(client, json.dumps(content).encode())
    assert answer.status_code in {200, 400, 422}


@settings(max_examples=100)
@given(st.binary(max_size=300), st.sampled_from(["application/json", "text/csv", "", "application/problem+json"]))
def test_no_bytes_are_a_server_error(client: httpx.Client, content: bytes, media_type: str) -> None:
    answer = post(client, content, **{"content-type": media_type})
    assert answer.status_code in {200, 400, 415, 422}


@pytest.mark.slow
def test_a_store_without_models_says_what_to_do(tmp_path: Path) -> None:
    completed = run("bentoml", "serve", BENTOML_HOME=str(tmp_path))
    assert completed.returncode == 1
    assert "deployer train model.yaml" in completed.stderr
    assert "Traceback" not in completed.stderr


@pytest.mark.slow
def test_an_unknown_model_is_answered_with_those_there_are(tmp_path: Path) -> None:
    home = tiny.home(tmp_path, "1.0.0")
    completed = run("bentoml", "serve", "--arg", "model=served:9.9.9", BENTOML_HOME=str(home))
    assert completed.returncode == 1
    assert "it holds 1.0.0" in completed.stderr


@pytest.mark.slow
def test_an_altered_model_is_not_served(tmp_path: Path) -> None:
    home = tiny.home(tmp_path, "1.0.0")
    contract = home / "models/served/1.0.0/contract.json"
    contract.write_text(contract.read_text().replace("5000", "9000"))
    completed = run("bentoml", "serve", BENTOML_HOME=str(home))
    assert completed.returncode == 1
    assert "contract.json was altered" in completed.stderr


@pytest.mark.slow
def test_model_that_contradicts_golden_ends_in_one_line(tmp_path: Path) -> None:
    """A model whose answers differ from those of training ends the server with a message of one line."""
    manifest = tiny.write(tmp_path / "files", "served")
    (tmp_path / "files" / artifact.MANIFEST).unlink()
    golden = tmp_path / "files" / artifact.GOLDEN
    case = json.loads(golden.read_text())
    case["prediction"]["probabilities"] = {"late": 0.5, "on_time": 0.5}
    golden.write_text(json.dumps(case) + "\n")
    home = tiny.home_of(tmp_path / "home", tmp_path / "files", artifact.seal(tmp_path / "files", manifest))
    completed = run("bentoml", "serve", "--port", str(free_port()), BENTOML_HOME=str(home))
    assert completed.returncode == 1
    assert "answers the golden case 'example' differently" in completed.stderr
    assert "Traceback" not in completed.stderr


@pytest.mark.slow
def test_a_taken_port_is_said_in_one_line(server: Server, tmp_path: Path) -> None:
    home = tiny.home(tmp_path, "1.0.0")
    completed = run("bentoml", "serve", "--port", str(server.port), BENTOML_HOME=str(home))
    assert completed.returncode == 1
    last = json.loads(completed.stderr.splitlines()[-1])
    assert (last["level"], last["message"].partition(";")[0]) == ("critical", "the port is used by another program")
    assert "Traceback" not in completed.stderr


@pytest.mark.slow
def test_the_highest_version_answers_unless_another_is_named(tmp_path: Path) -> None:
    """Two servers use the same store at the same time, each with its own counters."""
    home = tiny.home(tmp_path / "home", "1.9.0", "1.10.0", "1.2.0")
    with (
        serve([], home, tmp_path / "highest") as highest,
        serve(["--arg", "model=served:1.2.0"], home, tmp_path / "named") as named,
    ):
        for server, version in ((highest, "1.10.0"), (named, "1.2.0")):
            assert httpx.get(f"{server.url}/model").json()["version"] == version
            infos = re.findall(r"^model_info\{.*\}", httpx.get(f"{server.url}/metrics").text, re.MULTILINE)
            assert infos == [f'model_info{{name="served",version="{version}"}}']


@pytest.mark.slow
def test_a_bento_pins_its_model_and_runs_from_any_directory(tmp_path: Path) -> None:
    home = tiny.home(tmp_path / "home", "1.0.0", "1.1.0")
    build = run("bentoml", "build", "--output", "tag", "--arg", "model=served:1.0.0", BENTOML_HOME=str(home))
    assert build.returncode == 0, build.stderr
    tag = build.stdout.strip().removeprefix("__tag__:")
    other_folder = tmp_path / "elsewhere"
    other_folder.mkdir()
    with serve([tag], home, tmp_path / "log", cwd=other_folder) as bento:
        assert httpx.get(f"{bento.url}/model").json()["version"] == "1.0.0"
        assert httpx.post(f"{bento.url}/predict", json=tiny.ROW).status_code == 200


@pytest.mark.slow
def test_a_bento_without_its_model_says_how_to_get_it(tmp_path: Path) -> None:
    home = tiny.home(tmp_path / "home", "1.0.0")
    build = run("bentoml", "build", "--output", "tag", BENTOML_HOME=str(home))
    shutil.rmtree(home / "models/served")
    completed = run("bentoml", "serve", build.stdout.strip().removeprefix("__tag__:"), BENTOML_HOME=str(home))
    assert completed.returncode == 1
    assert "bentoml models export served:1.0.0" in completed.stderr


@pytest.mark.slow
def test_a_bento_holds_no_path_of_the_machine_that_built_it(tmp_path: Path) -> None:
    home = tiny.home(tmp_path / "home", "1.0.0")
    assert run("bentoml", "build", "--output", "tag", BENTOML_HOME=str(home)).returncode == 0
    texts = {path: path.read_text() for path in (home / "bentos").rglob("*") if path.suffix in {".txt", ".yaml", ".py"}}
    assert len(texts) > 5
    assert not [path for path, text in texts.items() if str(ROOT) in text]
    settings = [text for path, text in texts.items() if path.suffix != ".py"]
    assert not [text for text in settings if "--find-links" in text or "--index-url" in text]
