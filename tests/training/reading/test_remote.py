"""Tables on a web server with TLS."""

import hashlib
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from pydantic import ValidationError

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.training.spec import Data
from tests.support import certificates
from tests.training.reading.files import read

CSV = b"x;y\n1;a\n2;b\n"


class Pages(BaseHTTPRequestHandler):
    """A web server with a table, a redirect to it, a page, and a table for those who know a token."""

    def do_GET(self) -> None:
        status, body = {
            "/data/sales%202024.csv": (200, CSV),
            "/latest": (302, b""),
            "/login": (200, b"<!doctype html><title>Log in</title>"),
            "/private.csv?token=p%40ss": (200, CSV),
            "/broken.csv": (200, b'x;y\n1;"a\n'),
        }.get(self.path, (404, b""))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/data/sales%202024.csv")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def website(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    certificate, key = certificates.write(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_table_of_a_website(tmp_path: Path, website: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "p@ss")
    for path in ("/data/sales%202024.csv", "/latest", "/private.csv?token=${TOKEN}"):
        table = read(tmp_path, website + path)
        assert table.frame.to_dict(as_series=False) == {"x": [1, 2], "y": ["a", "b"]}
        assert table.version == f"sha256:{hashlib.sha256(CSV).hexdigest()}"


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("/nowhere.csv", r"data\.path: https://127\.0\.0\.1/nowhere\.csv was answered with status 404"),
        ("/login", r"https://127\.0\.0\.1/login: expected a table, and this is a web page"),
        ("/broken.csv", r"https://127\.0\.0\.1/broken\.csv, row 2: a quote opens here"),
    ],
)
def test_a_website_without_the_table(tmp_path: Path, website: str, path: str, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read(tmp_path, website + path)


def test_a_certificate_that_is_not_trusted(tmp_path: Path, website: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(DataError, match=r"data\.path: .*latest cannot be read: .*certificate"):
        read(tmp_path, f"{website}/latest")


def test_urls_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"data\.path: expected a path, or a URL that begins with https://, s3://"):
        read(tmp_path, "ftp://host/t.csv")
    with pytest.raises(SpecError, match="ABSENT_TOKEN is not set"):
        read(tmp_path, "https://host/t.csv?token=${ABSENT_TOKEN}")
    with pytest.raises(ValidationError, match="expected no password"):
        Data(path="https://user:secret@host/t.csv", target="y")
