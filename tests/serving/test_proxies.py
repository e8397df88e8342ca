"""What proxies and browsers rely on: path prefixes, entity tags, compressed answers, no redirect to another host."""

import gzip
import socket
from collections.abc import Callable

import brotli
import httpx
import pytest
from backports import zstd

from tests.support import tiny
from tests.support.processes import Server

ROWS = {"rows": [tiny.ROW] * 50}


@pytest.mark.parametrize(
    ("prefix", "url"),
    [
        ("/churn", "/churn"),
        ("/models/churn/", "/models/churn"),
        ("", "/"),
        ("churn", "/"),
        ("//evil.example", "/"),
        ("/a b", "/"),
        ("/<script>", "/"),
        ("/" + "x" * 300, "/"),
    ],
)
def test_openapi_names_the_prefix_of_the_proxy(server: Server, prefix: str, url: str) -> None:
    answer = httpx.get(f"{server.url}/docs.json", headers={"x-forwarded-prefix": prefix})
    assert [each["url"] for each in answer.json()["servers"]] == [url]
    assert "X-Forwarded-Prefix" in answer.headers["vary"]


@pytest.mark.parametrize("path", ["/predict/", "/model/", "/livez/", "/schema.json/"])
def test_no_redirect_leads_to_another_host(server: Server, path: str) -> None:
    answer = httpx.post(server.url + path, json=tiny.ROW, headers={"host": "evil.example"}, follow_redirects=False)
    assert (answer.status_code, answer.headers.get("location")) == (404, None)
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize("path", ["/docs.json", "/model"])
def test_a_document_is_sent_again_only_if_it_changed(server: Server, path: str) -> None:
    first = httpx.get(server.url + path)
    tag = first.headers["etag"]
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        answer = httpx.get(server.url + path, headers={"if-none-match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert httpx.get(server.url + path, headers={"if-none-match": '"other"'}).content == first.content


@pytest.mark.parametrize(
    ("path", "encoding", "decompress"),
    [
        ("/predict", "gzip", gzip.decompress),
        ("/predict", "zstd", zstd.decompress),
        ("/invocations", "br", brotli.decompress),
        ("/v1/models/served:predict", "gzip", gzip.decompress),
    ],
)
def test_large_answers_are_compressed_for_clients_that_ask(
    server: Server, path: str, encoding: str, decompress: Callable[[bytes], bytes]
) -> None:
    body = ROWS if path == "/predict" else {"instances": ROWS["rows"]}
    plain = httpx.post(server.url + path, json=body, headers={"accept-encoding": "identity"})
    accepted = {"accept-encoding": f"deflate, {encoding}"}
    with httpx.stream("POST", server.url + path, json=body, headers=accepted) as answer:
        raw = b"".join(answer.iter_raw())
    assert (answer.headers["content-encoding"], "Accept-Encoding" in plain.headers["vary"]) == (encoding, True)
    assert decompress(raw) == plain.content
    assert len(raw) < len(plain.content) / 5
    small = httpx.post(f"{server.url}/predict", json=tiny.ROW, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in small.headers


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /livez HTTP/1.1\r\n\r\n", b"400"),
        ("GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        ("GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"200"),
        ("GET /livez HTTP/1.0\r\n\r\n", b"200"),
    ],
)
def test_a_request_has_one_host(server: Server, head: str, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head.encode())
        assert connection.makefile("rb").readline().split()[1] == status
