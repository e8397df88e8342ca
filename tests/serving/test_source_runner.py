"""A model that its source serves: the same answers by every protocol, and a server that outlives the source."""

import json
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import psutil
import pytest

from model_deployer.contract import promotion, store
from model_deployer.contract.artifact import Artifact, seal
from model_deployer.serving.engines.offline import OfflineModel
from model_deployer.serving.rows.formats import STREAM
from tests.serving.grpc.client import Client, outputs_of
from tests.support.audited import Audit
from tests.support.in_process import model_store
from tests.support.processes import Server, free_port, serve, until
from tests.support.sources import HANGING, REFUSED, adopt_source, rows, spending, variables

pytestmark = pytest.mark.slow

ROWS = [row for row in rows() if row["city"]][:40]
ROW = {"age": 40, "income": 20_000.0, "city": "Ulm"}

#: How requests of 8 clients ended.
Outcomes = Counter[tuple[int, str | None]]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return adopt_source(tmp_path_factory.mktemp("adopted"), "limits: {timeout_seconds: 2}")


@pytest.fixture(scope="module")
def environment(artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return variables(artifact, tmp_path_factory.mktemp("environments"))


@contextmanager
def _serve(artifact: Artifact, environment: dict[str, str], folder: Path, workers: int = 2) -> Iterator[Server]:
    (folder / "settings.yaml").write_text(f"services: {{ModelService: {{workers: {workers}}}}}\n")
    (folder / "tmp").mkdir()
    changed = environment | {"BENTOML_CONFIG": str(folder / "settings.yaml"), "TMPDIR": str(folder / "tmp")}
    home = artifact.path.parents[2]
    with serve([], home, folder / "log", variables=changed) as server:
        yield server


@pytest.fixture(scope="module")
def grpc_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """What the processes of the shared server do."""
    return Audit(tmp_path_factory.mktemp("audit") / "audit")


@pytest.fixture(scope="module")
def shared(
    artifact: Artifact,
    environment: dict[str, str],
    grpc_port: int,
    audit: Audit,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A server that no test harms."""
    changed = environment | audit.variables() | {"DEPLOYER_GRPC_PORT": str(grpc_port)}
    with _serve(artifact, changed, tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def harmed(
    artifact: Artifact, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server whose source tests harm; each waits until it is ready again."""
    with _serve(artifact, environment, tmp_path_factory.mktemp("harmed")) as server:
        yield server


def wait_for_another(server: Server, earlier: psutil.Process) -> None:
    """Wait until another process of the source answers; each end doubles the time before the next start."""
    until(lambda: not earlier.is_running(), seconds=120)
    until(lambda: is_ready(server), seconds=120)
    assert source_of(server).pid != earlier.pid
    assert ask(server, ROW).json()["predictions"][0]["value"] == pytest.approx(spending(ROW))


def ends(server: Server, reason: str) -> float:
    return server.metric(f'model_source_ends_total{{reason="{reason}"}}')


def source_of(server: Server) -> psutil.Process:
    """Return the only process of the source."""
    children = psutil.Process(server.process.pid).children(recursive=True)
    (source,) = (child for child in children if "cell_worker" in child.cmdline())
    return source


def is_ready(server: Server) -> bool:
    return httpx.get(f"{server.url}/readyz").status_code == 200


def lines(server: Server, message: str) -> list[dict[str, Any]]:
    """Return the lines of the log with a message."""
    entries = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [entry for entry in entries if entry["message"].startswith(message)]


def ask(server: Server, row: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{server.url}/predict", json={"rows": [row]}, timeout=30)


def native(server: Server, _: int) -> list[float]:
    answer = httpx.post(f"{server.url}/predict", json={"rows": ROWS}).raise_for_status().json()
    return [prediction["value"] for prediction in answer["predictions"]]


def arrow(server: Server, _: int) -> list[float]:
    body = BytesIO()
    pl.DataFrame(ROWS).write_ipc_stream(body)
    headers = {"content-type": STREAM, "accept": STREAM}
    answer = httpx.post(f"{server.url}/predict", content=body.getvalue(), headers=headers).raise_for_status()
    return pl.read_ipc_stream(answer.content)["value"].to_list()


def open_inference(server: Server, _: int) -> list[float]:
    inputs = [
        {"name": "age", "shape": [len(ROWS)], "datatype": "INT64", "data": [row["age"] for row in ROWS]},
        {"name": "income", "shape": [len(ROWS)], "datatype": "FP64", "data": [row["income"] for row in ROWS]},
        {"name": "city", "shape": [len(ROWS)], "datatype": "BYTES", "data": [row["city"] for row in ROWS]},
    ]
    answer = httpx.post(f"{server.url}/v2/models/adopted/infer", json={"inputs": inputs}).raise_for_status().json()
    return next(list(output["data"]) for output in answer["outputs"] if output["name"] == "value")


def invocations(server: Server, _: int) -> list[float]:
    answer = httpx.post(f"{server.url}/invocations", json={"dataframe_records": ROWS}).raise_for_status().json()
    return [prediction["value"] for prediction in answer["predictions"]]


def tensorflow_serving(server: Server, _: int) -> list[float]:
    answer = httpx.post(f"{server.url}/v1/models/adopted:predict", json={"instances": ROWS}).raise_for_status().json()
    return [prediction["value"] for prediction in answer["predictions"]]


def torchserve(server: Server, _: int) -> list[float]:
    answer = httpx.post(f"{server.url}/predictions/adopted", json=ROWS).raise_for_status().json()
    return [prediction["value"] for prediction in answer]


def grpc(_: Server, port: int) -> list[float]:
    client = Client(port)
    message = client.infer([row | {"income": row["income"] or 0.0} for row in ROWS])
    message.model_name = "adopted"
    answer = client.start("ModelInfer", message).result()
    return [float(value) for value in np.ravel(outputs_of(answer)["value"])]


@pytest.mark.parametrize("speak", [native, arrow, open_inference, invocations, tensorflow_serving, torchserve, grpc])
def test_every_protocol_answers_as_the_source_does(
    shared: Server, grpc_port: int, speak: Callable[[Server, int], list[float]]
) -> None:
    assert np.allclose(speak(shared, grpc_port), [spending(row) for row in ROWS], rtol=1e-6)


def test_a_missing_value_that_is_never_answered_with_a_number_is_refused(artifact: Artifact) -> None:
    """The source divides by the age, and has an answer for every other missing value."""
    nullable = {feature.name: feature.nullable for feature in artifact.contract.features}
    assert nullable == {"age": False, "income": True, "city": True}


def test_all_workers_replay_the_golden_requests_in_one_process(shared: Server) -> None:
    until(lambda: len(lines(shared, "golden predictions reproduced")) == 3)
    assert source_of(shared).ppid() == shared.process.pid


def test_no_server_process_loads_what_the_source_needs(shared: Server) -> None:
    """Compiled modules of a library are mapped into the memory of a process that has imported it."""

    def libraries(process: psutil.Process) -> set[str]:
        return {name for name in ("numpy", "sklearn", "scipy", "pandas") for file in process.memory_maps()
                if f"/{name}/" in file.path}  # fmt: skip

    assert {"sklearn", "scipy"} <= libraries(source_of(shared))
    for process in (psutil.Process(shared.process.pid), *shared.workers()):
        assert libraries(process) == {"numpy"}


def test_no_server_process_unpickles_what_the_source_needs(shared: Server, audit: Audit) -> None:
    """Each reads the bytes of the pickle once, to compare its checksum."""
    assert ask(shared, ROW).status_code == 200
    for process in (shared.process.pid, *(worker.pid for worker in shared.workers())):
        notes = audit.of(process)
        assert (notes.unpickled(), notes.libraries()) == (set(), set())
        assert [Path(path).name for path in notes.opened(".pkl")] == ["model.pkl"]


def test_a_refused_row_fails_no_other_request(shared: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda row: ask(shared, row), [*ROWS[:20], ROW | {"income": REFUSED}, *ROWS[20:]]))
    refused = answers.pop(20)
    assert [answer.status_code for answer in answers] == [200] * len(ROWS)
    assert refused.status_code == 422
    (problem,) = refused.json()["errors"]
    assert problem == {
        "row": 0,
        "field": None,
        "code": "refused_by_model",
        "message": "the model itself refuses this row with the error ValueError",
    }


def test_a_row_whose_answer_is_not_a_number_fails_no_other_request(shared: Server) -> None:
    """The quotient is larger than the largest number of an answer."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda row: ask(shared, row), [*ROWS[:20], ROW | {"income": 1e300}, *ROWS[20:]]))
    refused = answers.pop(20)
    assert [answer.status_code for answer in answers] == [200] * len(ROWS)
    assert refused.status_code == 422
    (problem,) = refused.json()["errors"]
    assert (problem["row"], problem["code"]) == (0, "refused_by_model")
    assert "NaN or infinite" in problem["message"]


def test_refused_rows_are_numbered_within_a_long_request(shared: Server) -> None:
    many = [ROW] * 700
    many[600] = many[650] = ROW | {"income": REFUSED}
    answer = httpx.post(f"{shared.url}/predict", json={"rows": many}, timeout=30)
    assert answer.status_code == 422
    assert [problem["row"] for problem in answer.json()["errors"]] == [600, 650]


def test_a_table_keeps_its_other_rows(
    artifact: Artifact, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(*next(iter(environment.items())))
    model = OfflineModel(artifact)
    unanswered = {50: REFUSED, 60: 1e300}
    answers = model.answer([ROW | {"age": age, "income": unanswered.get(age, 1.0)} for age in range(20, 80)])
    model.close()
    assert [problem.code for row in (30, 40) for problem in answers.problems[row]] == ["refused_by_model"] * 2
    assert np.flatnonzero(~answers.accepted).tolist() == [30, 40]
    expected = [spending(ROW | {"age": age, "income": 1.0}) for age in range(20, 80) if age not in unanswered]
    assert np.allclose(answers.outputs["value"].ravel(), expected)


def test_a_source_starts_below_a_path_that_is_longer_than_an_address(
    artifact: Artifact, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address of a Unix socket holds at most 107 bytes."""
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    monkeypatch.setenv(*next(iter(environment.items())))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with closing(OfflineModel(artifact)) as model:
        assert model.answer([ROW]).accepted.all()


def _under_load(server: Server, event: Callable[[], None]) -> Outcomes:
    """Return the statuses of 8 clients while something happens, each with its header Retry-After."""
    is_over = False

    def keep_asking() -> Outcomes:
        outcomes: Outcomes = Counter()
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while not is_over:
                answer = client.post("/predict", json={"rows": [ROW]})
                outcomes[answer.status_code, answer.headers.get("retry-after")] += 1
        return outcomes

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(keep_asking) for _ in range(8)]
        try:
            until(lambda: server.metric("model_rows_total") > 100)
            event()
        finally:
            is_over = True
        return sum((client.result() for client in clients), Counter())


def test_a_killed_source_is_started_again_under_load(harmed: Server) -> None:
    killed = source_of(harmed)

    def kill() -> None:
        killed.kill()
        until(lambda: not is_ready(harmed))
        assert httpx.get(f"{harmed.url}/readyz").text.startswith("unavailable: the process of the model")
        until(lambda: is_ready(harmed))

    outcomes = _under_load(harmed, kill)
    assert {status for status, _ in outcomes} == {200, 503}
    assert all(retry for status, retry in outcomes if status == 503)
    wait_for_another(harmed, killed)
    assert "SIGKILL" in lines(harmed, "the process of the model has ended")[-1]["reason"]
    assert ends(harmed, "SIGKILL") == 1
    assert (harmed.metric("model_degraded"), harmed.metric("model_worker_restarts_total")) == (0, 0)


def test_an_idle_server_notices_that_its_source_is_gone(harmed: Server) -> None:
    killed = source_of(harmed)
    killed.kill()
    until(lambda: not is_ready(harmed))
    wait_for_another(harmed, killed)
    assert [ask(harmed, ROW).status_code for _ in range(20)] == [200] * 20


def test_a_source_that_hangs_is_ended(harmed: Server) -> None:
    hanging, before = source_of(harmed), ends(harmed, "SIGALRM")
    assert ask(harmed, ROW | {"income": HANGING}).status_code in (503, 504)
    wait_for_another(harmed, hanging)
    reason = lines(harmed, "the process of the model has ended")[-1]["reason"]
    assert reason.endswith("it took more than 2 seconds for a batch")
    assert ends(harmed, "SIGALRM") == before + 1


def test_a_stopped_source_is_ended(harmed: Server) -> None:
    stopped = source_of(harmed)
    stopped.suspend()
    assert ask(harmed, ROW).status_code in (503, 504)
    wait_for_another(harmed, stopped)
    assert lines(harmed, "the process of the model does not react")[-1]["pid"] == stopped.pid


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_of_the_source_outlives_the_server(
    artifact: Artifact, environment: dict[str, str], tmp_path: Path, signal_number: signal.Signals
) -> None:
    with _serve(artifact, environment, tmp_path, workers=1) as server:
        source = source_of(server)
        assert list((tmp_path / "tmp").glob("model-deployer-source-*/answering"))
        os.kill(server.process.pid, signal_number)
        server.process.wait(timeout=30)
    until(lambda: not source.is_running())
    until(lambda: not list((tmp_path / "tmp").glob("model-deployer-source-*")))


def test_a_server_of_an_alias_starts_the_source_of_the_next_version_first(
    artifact: Artifact, environment: dict[str, str], tmp_path: Path
) -> None:
    """Requests are answered by the one source or the other, and the old one is ended."""
    home = tmp_path / "home"
    shutil.copytree(artifact.path.parents[2], home)
    shutil.copytree(artifact.path, tmp_path / "next", ignore=shutil.ignore_patterns("manifest.json", "model.yaml"))
    with model_store(home):
        manifest = seal(tmp_path / "next", artifact.manifest.model_copy(update={"version": "1.0.1"}))
        store.save(tmp_path / "next", manifest)
        promotion.promote("adopted:1.0.0")
    (tmp_path / "tmp").mkdir()
    changed = environment | {"TMPDIR": str(tmp_path / "tmp")}
    with serve(["--arg", "model=adopted@champion"], home, tmp_path / "log", variables=changed) as server:
        old = source_of(server)

        def replace() -> None:
            with model_store(home):
                promotion.promote("adopted:1.0.1", force=True, reason="a test")
            until(lambda: server.metric('model_rollouts_total{result="done"}') == 1, seconds=120)

        assert set(_under_load(server, replace)) == {(200, None)}
        answer = ask(server, ROW).json()
        assert answer["model"]["version"] == "1.0.1"
        assert answer["predictions"][0]["value"] == pytest.approx(spending(ROW))
        until(lambda: not old.is_running())
        assert source_of(server).pid != old.pid
