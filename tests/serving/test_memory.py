"""A server with the memory of the documents, 512 MiB, and requests that would take more."""

import gzip
import io
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import polars as pl
import psutil
import pytest

from model_deployer.contract.contract import Limits
from tests.support import cgroups, tiny
from tests.support.processes import Server, serve, until

pytestmark = pytest.mark.slow

MEMORY = 512 * 1024**2
BODY = 16 * 1024**2
JSON, CSV, LINES = "application/json", "text/csv", "application/jsonlines"
STREAM = "application/vnd.apache.arrow.stream"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("memory")
    contract = tiny.CONTRACT.model_copy(update={"limits": Limits()})
    home = tiny.home_of(folder / "home", folder / "files", tiny.write(folder / "files", "served", contract=contract))
    with cgroups.memory_limit(MEMORY) as prefix, serve([], home, folder / "log", prefix=prefix) as server:
        yield server


@pytest.fixture(autouse=True)
def worker(server: Server) -> Iterator[psutil.Process]:
    """The worker, which must survive each test and answer afterwards."""
    (worker,) = server.workers()
    yield worker
    assert [each.pid for each in server.workers()] == [worker.pid], "the worker was killed"
    assert httpx.post(f"{server.url}/predict", json=tiny.ROW, timeout=30).status_code == 200


def compressed_stream() -> bytes:
    """Return a small Arrow stream of one text of 300 MB."""
    file = io.BytesIO()
    pl.DataFrame({"carrier": ["x" * 300_000_000]}).write_ipc_stream(file, compression="zstd")
    return file.getvalue()


@pytest.mark.parametrize(
    ("path", "media_type", "body"),
    [
        ("/predict", JSON, b'{"rows":[' + b"{}," * 5_500_000 + b"NaN]}"),
        ("/predict", JSON, b'{"rows":[{"carrier":[' + b"[]," * 5_500_000 + b"1]}]}"),
        ("/predict", JSON, b"{" + b",".join(b'"%d":0' % number for number in range(1_500_000)) + b"}"),
        ("/score", JSON, b'{"data":[' + b"{}," * 5_000_000 + b"{}]}"),
        ("/score", STREAM, b'{"data":[' + b"{}," * 5_000_000 + b"{}]}"),
        ("/v1/models/served:predict", JSON, b'{"instances":[' + b"[]," * 5_000_000 + b"[]]}"),
        ("/v2/models/served/infer", JSON, b'{"inputs":[' + b"{}," * 5_000_000 + b"{}]}"),
        ("/invocations", JSON, b'{"instances":[' + b"{}," * 5_000_000 + b"{}]}"),
        ("/invocations", LINES, b"{}\n" * 5_300_000),
        ("/invocations", CSV, b"1\n" * 8_000_000),
        ("/invocations", CSV, b"," * 16_000_000),
        ("/predictions/served", FORM, b"data=[" + b"{}%2C" * 3_000_000 + b"{}]"),
        ("/predictions/served", FORM, b"a=1&" * 4_000_000),
    ],
    ids=lambda value: value[:24].decode() if isinstance(value, bytes) else value,
)
def test_values_are_counted_before_they_exist(server: Server, path: str, media_type: str, body: bytes) -> None:
    headers = {"content-type": media_type, "content-encoding": "gzip"}
    answer = httpx.post(server.url + path, content=gzip.compress(body, 1), headers=headers, timeout=60)
    assert answer.status_code in (400, 413), answer.text


def test_text_with_many_commas_is_not_refused(server: Server) -> None:
    """A text may have any characters: those within strings do not count."""
    row = tiny.ROW | {"remark": ',"\\' * 60}
    answer = httpx.post(f"{server.url}/predict", json={"rows": [row] * 9_000}, timeout=60)
    assert answer.status_code == 200
    assert len(answer.json()["predictions"]) == 9_000


def test_commas_in_binary_texts_are_no_values(server: Server) -> None:
    rows = 9_000
    text = b"," * 60
    texts = (len(text).to_bytes(4, "little") + text) * rows
    tensor = {"name": "remark", "shape": [rows], "datatype": "BYTES", "parameters": {"binary_data_size": len(texts)}}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"inference-header-content-length": str(len(head))}
    answer = httpx.post(f"{server.url}/v2/models/served/infer", content=head + texts, headers=headers, timeout=60)
    assert answer.json()["code"] == "invalid_rows", "the other fields are missing, and the values are not too many"


def test_many_bodies_share_one_budget(server: Server) -> None:
    """A hundred connections hold most of a body each; those beyond the budget are refused."""
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: {BODY}\r\n\r\n"
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30)) for _ in range(100)
        ]

        def send(connection: socket.socket) -> bytes:
            try:
                connection.sendall(head.encode() + bytes(BODY - 100_000))
                connection.settimeout(1)
                return connection.recv(12)
            except TimeoutError:
                return b""
            except OSError:
                return b"HTTP/1.1 503"

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(send, connections))
        assert set(answers) <= {b"HTTP/1.1 503", b""}
        assert answers.count(b"HTTP/1.1 503") > 80


def test_many_large_requests_within_all_limits(server: Server) -> None:
    body = json.dumps({"rows": [tiny.ROW | {"remark": "x" * 200}] * 9_500}).encode()

    def ask(_: int) -> int:
        return httpx.post(f"{server.url}/predict", content=body, headers={"content-type": JSON}, timeout=60).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(ask, range(24)))
    assert set(statuses) <= {200, 503}
    assert 200 in statuses


def test_children_have_a_part_of_the_memory(server: Server) -> None:
    body = compressed_stream()

    def ask(_: int) -> int:
        return httpx.post(
            f"{server.url}/predict", content=body, headers={"content-type": STREAM}, timeout=60
        ).status_code

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, range(8))) <= {400, 413, 503}


def test_memory_is_given_back(server: Server, worker: psutil.Process) -> None:
    """After all of these, the worker has no more than its budget in addition to what it had."""
    until(lambda: worker.memory_info().rss < MEMORY - 100 * 1024**2)
