"""Each client is compiled and run against real servers, if its language is installed."""

import json
import os
import shutil
import struct
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import isfinite
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import DeadlineExceeded, Overloaded, RequestTimeout
from model_deployer.contract.features import Categorical
from model_deployer.contract.outputs import Classification
from model_deployer.handoff.clients import clients
from model_deployer.handoff.clients.clients import Check, check_clients, run_clients, write_clients
from model_deployer.handoff.clients.languages import (
    CSHARP,
    CURL,
    GO,
    LANGUAGES,
    PHP,
    PYTHON,
    RUBY,
    RUST,
    Language,
    Toolchain,
)
from model_deployer.package.clients import Client
from tests.support import models, tensor_models, tiny
from tests.support.processes import free_port
from tests.support.servers import Profile, SharedServers

pytestmark = pytest.mark.slow

CONTRACTS = {
    "two labels": tiny.CONTRACT,
    "many labels": models.MANY,
    "regression": models.REGRESSION,
    "vectors": tensor_models.CONTRACT,
    "images": tensor_models.WITH_IMAGE,
    "sequences": tensor_models.WITH_SEQUENCES,
    "tensors": tensor_models.WITH_TENSORS,
    "targets": tensor_models.WITH_TARGETS,
    "embedding": tensor_models.WITH_EMBEDDING,
}

each_language = pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)


@pytest.fixture(scope="session")
def urls(servers: SharedServers) -> dict[str, str]:
    """The URL of a server for each of the contracts."""
    writers = dict.fromkeys(CONTRACTS, models.write)
    writers |= {"vectors": tensor_models.write_vectors, "images": tensor_models.write_images}
    writers |= {"sequences": tensor_models.write_sequences, "targets": tensor_models.write_vectors}
    writers |= {"embedding": tensor_models.write_sequences, "tensors": tensor_models.write_tensors}
    return {kind: servers.get(Profile(contract, writers[kind])).url for kind, contract in CONTRACTS.items()}


@pytest.fixture(scope="session", autouse=True)
def _shared_builds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compile the crates only once for all clients."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARGO_TARGET_DIR", str(tmp_path_factory.mktemp("cargo")))
        yield


def needs(language: Language) -> None:
    """Skip the test if the language is not installed; Python and curl always are."""
    if language in (PYTHON, CURL):
        return
    if clients._installed_toolchain(language) is None:
        pytest.skip(f"{language.tool} is not installed")
    if language is RUST and not has_crates():
        pytest.skip("no registry of crates is reachable")


@cache
def has_crates() -> bool:
    """Whether cargo can fetch the dependencies of the client."""
    if any(clients._DEBIAN_CRATES.glob("ureq-*")):
        return True
    command = ["cargo", "info", "--quiet", "ureq@2"]
    once = os.environ | {"CARGO_NET_RETRY": "0"}
    return subprocess.run(command, env=once, capture_output=True, timeout=60, check=False).returncode == 0


def package(folder: Path, contract: Contract, samples: dict[str, Any], language: Language) -> Client:
    """Write the examples of a package, with this client as the only one in clients.json."""
    by_language = {client.language: client for client in write_clients(contract, models.manifest(), folder)}
    (folder / "examples" / "sample_requests.json").write_text(json.dumps(samples))
    client = by_language[language.name]
    (folder / "examples" / "clients" / "clients.json").write_text(json.dumps([client.model_dump()]))
    return client


def check(folder: Path, url: str) -> Check:
    [result] = check_clients(folder, url)
    return result


@each_language
@pytest.mark.parametrize("kind", [kind for kind in CONTRACTS if kind != "two labels"])
def test_every_answer_and_refusal_is_reproduced(
    kind: str, language: Language, urls: dict[str, str], tmp_path: Path
) -> None:
    needs(language)
    samples = models.samples(urls[kind], CONTRACTS[kind])
    client = package(tmp_path, CONTRACTS[kind], samples, language)
    before = sorted(tmp_path.rglob("*"))
    result = check(tmp_path, urls[kind])
    # The samples with columns and with headers are not sent.
    assert (result.passed, result.detail) == (True, "5 golden and edge answers reproduced, 5 refusals as expected")
    assert sorted(tmp_path.rglob("*")) == before
    assert all((tmp_path / file).is_file() for file in client.files)


@each_language
def test_another_answer_is_named(language: Language, urls: dict[str, str], tmp_path: Path) -> None:
    needs(language)
    samples = models.samples(urls["two labels"], tiny.CONTRACT)
    samples["golden"][1]["answer"]["predictions"][8]["probabilities"]["late"] += 1e-3
    package(tmp_path, tiny.CONTRACT, samples, language)
    result = check(tmp_path, urls["two labels"])
    assert not result.passed
    assert "several" in result.detail
    assert "the answer differs from the expected one" in result.detail


class ScriptedServer(ThreadingHTTPServer):
    """A server that answers each attempt of each call according to a script, and records the requests."""

    daemon_threads = True

    def __init__(self, script: dict[str, list[int]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = script
        #: The id and the time of each attempt, by the body of the request.
        self.calls: dict[str, list[tuple[str, float]]] = defaultdict(list)
        self.keys: set[str | None] = set()
        self.dripped: list[str] = []
        self.is_closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


LOST, STALLED, DRIPPING_HEAD, DRIPPING_BODY = -1, -2, -3, -4

#: An answer that drips is as long as this, and takes a minute.
DRIPPED_BYTES, PAUSE_OF_DRIPS = 1_200, 0.05

PREDICTION = {"value": 1.5, "lower": 1.0, "upper": 2.0}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        attempts = self.server.calls[body]
        attempts.append((self.headers["X-Request-ID"], time.monotonic()))
        self.server.keys.add(self.headers["Authorization"])
        assert int(self.headers["X-Request-Timeout-Ms"]) > 0
        kind = next(
            (kind for kind in self.server.script if kind in body), "first" if len(self.server.calls) == 1 else ""
        )
        status = self.server.script.get(kind, [200] * 9)[len(attempts) - 1]
        if status == LOST:
            self.close_connection = True
            return
        if status in (DRIPPING_HEAD, DRIPPING_BODY):
            self.drip(status)
            return
        document: dict[str, Any] = {"status": status, "code": "x", "errors": []}
        if status in (200, STALLED):
            document = {"predictions": [PREDICTION] * len(json.loads(body)["rows"]), "model": {}}
        content = json.dumps(document).encode()
        self.send_response(200 if status == STALLED else status)
        self.send_header("Content-Length", str(len(content)))
        if status == 503:
            self.send_header("Retry-After", "1")
        self.end_headers()
        if status == STALLED:
            self.wfile.write(content[:5])
            self.wfile.flush()
            self.rfile.read(1)
        self.wfile.write(content)

    def drip(self, status: int) -> None:
        """Send an answer byte by byte, until the client is gone."""
        self.close_connection = True
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {DRIPPED_BYTES}\r\n"
        slow, fast = (b"X: " + b"x" * DRIPPED_BYTES, head) if status == DRIPPING_HEAD else (b" " * DRIPPED_BYTES, "")
        self.wfile.write((fast or f"{head}\r\n").encode())
        with suppress(OSError):
            for byte in slow:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                if self.server.is_closing.wait(PAUSE_OF_DRIPS):
                    return
            self.server.dripped.append("the whole answer")

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def scripted_server(script: dict[str, list[int]]) -> Iterator[ScriptedServer]:
    with ScriptedServer(script) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.is_closing.set()
        server.shutdown()
        thread.join()


def scripted(rows: list[dict[str, Any]], *invalid: tuple[str, int]) -> dict[str, Any]:
    """The sample requests for a scripted server; the first call of a check sends the example row."""
    answer = {"predictions": [PREDICTION] * len(rows)}
    golden = {"case": "g", "request": {"rows": rows}, "body": None, "headers": {}, "status": 200, "answer": answer}
    refusals = [
        {"case": body, "request": None, "body": body, "headers": {}, "status": status, "answer": {"code": "x"}}
        for body, status in invalid
    ]
    return {"tolerance": 1e-5, "golden": [golden] if rows else [], "edge": [], "invalid": refusals}


@each_language
def test_values_arrive_whatever_it_takes(language: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs(language)
    monkeypatch.setenv("API_KEY", "key-of-a-test")
    rows = rows_of_numbers()
    package(tmp_path, models.REGRESSION, scripted(rows, ("broken", 500), ("wrong", 422), ("slow", 504)), language)
    script = {"first": [503, LOST, 200], "broken": [500], "wrong": [422], "slow": [504] * clients.ATTEMPTS}
    with scripted_server(script) as server:
        result = check(tmp_path, server.url)
    assert (result.passed, result.detail) == (True, "1 golden and edge answers reproduced, 3 refusals as expected")
    assert server.keys == {"Bearer key-of-a-test"}

    # Only errors that may succeed later are retried. Python sends the rows twice: blocking and with asyncio.
    attempts = {body: len(calls) for body, calls in server.calls.items()}
    first, golden, *others = attempts.values()
    assert (first, golden) == (3, 2 if language is PYTHON else 1)
    assert others == [1, 1, clients.ATTEMPTS]
    times = next(iter(server.calls.values()))
    assert times[1][1] - times[0][1] >= 1
    assert all(len({id for id, _ in calls}) == 1 for body, calls in server.calls.items() if len(body) < 10_000)

    # The null of an optional field is not sent; JSON has only one type of number.
    sent = json.loads(list(server.calls)[1], parse_int=float)["rows"]
    # Mono reads 4 in 1,000 numbers of the samples with a wrong last bit; it sends numbers exactly.
    bound = 1e-15 if language is CSHARP else 0
    for before, after in zip(rows, sent, strict=True):
        assert after == {name: close(value, bound) for name, value in before.items() if name in after}
        assert {name for name in before if name not in after} <= {"Class"}


def rows_of_numbers() -> list[dict[str, Any]]:
    """Rows whose numbers need every digit of a float64."""
    random = Random(0)
    finite = (number for number in iter(lambda: struct.unpack("<d", random.randbytes(8))[0], None) if isfinite(number))
    row = models.full_row(models.REGRESSION)
    large = [row | {"class": next(finite), "Class": next(finite), "2nd room": step - 2**53} for step in range(1000)]
    return large + [row | {"class": random.random(), "Class": None, "a,b": 0.1 + 0.2} for _ in range(1000)]


def close(value: Any, bound: float) -> Any:
    return pytest.approx(value, rel=bound, abs=0) if isinstance(value, float) else value


@each_language
def test_a_call_ends_when_its_time_is_up(language: Language, tmp_path: Path) -> None:
    needs(language)
    limits = models.LIMITS.model_copy(update={"timeout_seconds": 1.0})
    package(tmp_path, models.REGRESSION.model_copy(update={"limits": limits}), scripted([]), language)
    with scripted_server({"first": [STALLED] * 9}) as server:
        stalled = check(tmp_path, server.url)
    refused = check(tmp_path, f"http://127.0.0.1:{free_port()}")
    assert (stalled.passed, refused.passed) == (False, False)
    assert [len(attempts) for attempts in server.calls.values()] == [1]
    assert "no answer" in stalled.detail
    assert "no answer" in refused.detail


@each_language
@pytest.mark.parametrize("part", [DRIPPING_HEAD, DRIPPING_BODY], ids=["head", "body"])
def test_a_server_that_drips_does_not_hold_a_call(part: int, language: Language, tmp_path: Path) -> None:
    """The time limit is that of the call, not that of a read: the client leaves before the answer is complete."""
    needs(language)
    limits = models.LIMITS.model_copy(update={"timeout_seconds": 1.0})
    package(tmp_path, models.REGRESSION.model_copy(update={"limits": limits}), scripted([]), language)
    with scripted_server({"first": [part] * 9}) as server:
        result = check(tmp_path, server.url)
        assert not server.dripped
    assert not result.passed
    assert "no answer" in result.detail


def test_what_is_tried_again_follows_the_catalogue() -> None:
    assert clients._retried_statuses() == [RequestTimeout.status, Overloaded.status, DeadlineExceeded.status]


def test_a_client_that_fails_leaves_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    all_clients = write_clients(tiny.CONTRACT, models.manifest(), tmp_path)
    (tmp_path / "examples" / "sample_requests.json").write_text("{}")
    missing = replace(GO, toolchains=(Toolchain(("no-such-go",), "no-such-go"),))
    monkeypatch.setattr(clients, "LANGUAGES", (PYTHON, missing))
    url = f"http://127.0.0.1:{free_port()}"
    selected = [client for client in all_clients if client.language in ("Python", "Go")]
    python, go = run_clients(tmp_path, url, selected)
    assert go.left_out == "Go is not installed on the machine that wrote this package"
    assert python.left_out
    assert python.left_out.startswith("its check failed: ")
    assert python.files == go.files == ()
    assert python.ran_with is None
    assert not (tmp_path / python.folder).exists()
    assert not (tmp_path / go.folder).exists()
    assert check_clients(tmp_path, url) == []


odd = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
) | st.sampled_from(
    ["*/", "\\", '"', "'", "${x}", "#{x}", '"""', "\\u", "?>", "-->", "`", "END", "\r\n", "%s", "{{ 1 }}", "{% x %}"]
)

PARSERS = (
    (PYTHON, ("python", "-m", "py_compile")),
    (CURL, ("sh", "-n")),
    (GO, ("gofmt", "-d")),
    (PHP, ("php", "-l")),
    (RUBY, ("ruby", "-c")),
)


@pytest.mark.parametrize(("language", "parser"), PARSERS, ids=[language.name for language, _ in PARSERS])
def test_whatever_a_contract_says_the_clients_can_be_parsed(
    language: Language, parser: tuple[str, ...], tmp_path: Path
) -> None:
    needs(language)

    @settings(max_examples=8, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(st.lists(odd, min_size=1, max_size=4, unique=True), odd, st.lists(odd, min_size=2, max_size=4, unique=True))
    def parse(names: list[str], text: str, values: list[str]) -> None:
        features = [
            Categorical(name=name, categories=tuple(values), unknown="reject", description=text, example=values[0])
            for name in names
        ]
        contract = Contract(
            features=tuple(features),
            output=Classification(target=text, labels=(*values, "last one"), set_threshold=0.1),
        )
        folder = tmp_path / "package"
        shutil.rmtree(folder, ignore_errors=True)
        by_language = {client.language: client for client in write_clients(contract, models.manifest(), folder)}
        sources = [file for file in by_language[language.name].files if not file.endswith(".mod")]
        for source in sources:
            completed = subprocess.run(
                [*parser, source],
                cwd=folder,
                env=clients._environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            assert completed.returncode == 0, completed.stderr
            assert language is not GO or not completed.stdout, completed.stdout

    parse()
