"""Tables on a web server with TLS, and in an object store."""

import hashlib
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import boto3
import polars as pl
import pytest
from moto.server import ThreadedMotoServer
from pydantic import ValidationError

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.training.data.table import read_table
from model_deployer.training.spec import Data, Spec
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


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """An S3 with one bucket; yields its URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    client.create_bucket(Bucket="shop")
    for year in (2023, 2024):
        body = pl.DataFrame({"x": [year, 2], "y": ["a", "b"]}).write_csv().encode()
        client.put_object(Bucket="shop", Key=f"sales/year={year}/part 0.csv", Body=body)
    client.put_object(Bucket="shop", Key="sales/_SUCCESS", Body=b"")
    client.put_object(Bucket="shop", Key="one.csv", Body=CSV)
    yield url
    server.stop()


@pytest.fixture
def s3(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a user of the store."""
    for name, value in {
        "AWS_ENDPOINT_URL": store, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "NO_PROXY": "127.0.0.1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("s3")
def test_tables_of_an_object_store(tmp_path: Path) -> None:
    table = read(tmp_path, "s3://shop/one.csv")
    assert table.frame.to_dict(as_series=False) == {"x": [1, 2], "y": ["a", "b"]}
    assert table.version == f"sha256:{hashlib.sha256(CSV).hexdigest()}"
    for path in ("s3://shop/sales", "s3://shop/sales/", "s3://shop/sales/*/*.csv", "s3://shop/sales/**/part*.csv"):
        assert read(tmp_path, path).frame.to_dict(as_series=False) == {
            "x": [2023, 2, 2024, 2],
            "y": ["a", "b", "a", "b"],
            "year": [2023, 2023, 2024, 2024],
        }, path


@pytest.mark.usefixtures("s3")
def test_a_query_of_an_object_store(tmp_path: Path) -> None:
    text = "SELECT x, y, year FROM 's3://shop/sales/*/*.csv' ORDER BY x, year"
    frame = read_table(Spec(name="m", data=Data(query=text, target="y")), tmp_path).frame
    assert frame["year"].to_list() == [2023, 2024, 2023, 2024]
    text = "SELECT * FROM 's3://shop/absent.csv'"
    with pytest.raises(DataError, match=r"data\.query: there is no file s3://shop/absent\.csv"):
        read_table(Spec(name="m", data=Data(query=text, target="y")), tmp_path)


@pytest.mark.usefixtures("s3")
def test_an_object_store_without_the_table(tmp_path: Path) -> None:
    for path in ("s3://shop/absent.csv", "s3://shop/*.parquet"):
        with pytest.raises(DataError, match=r"data\.path: there is no file s3://shop/"):
            read(tmp_path, path)
    with pytest.raises(DataError, match=r"data\.path: s3://absent cannot be read: .*404"):
        read(tmp_path, "s3://absent/t.csv")
