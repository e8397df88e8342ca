"""Tables in the object stores of Amazon, Google and Azure.

moto answers as S3, and as the XML API of Google, which is that of S3. Azurite is Microsoft's own emulator.
"""

import hashlib
import hmac
import json
import re
import shutil
import subprocess
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from model_deployer.contract.errors import DataError
from model_deployer.training.data.table import read_table
from model_deployer.training.spec import Data, Spec
from tests.support.processes import free_port
from tests.training.reading.files import read

CSV = b"x;y\n1;a\n2;b\n"

#: The objects of the bucket; some tools write empty ones for folders.
OBJECTS = {
    "one.csv": CSV,
    "odd/Umsätze 50%+1#~.csv": CSV,
    "sales/_SUCCESS": b"",
    "sales/year=2023/part 0.csv": b"x,y\n2023,a\n2,b\n",
    "sales/year=2024/part 0.csv": b"x,y\n2024,a\n2,b\n",
    "days.csv": b"",
    "days.csv/part 0.csv": CSV,
    "days.csv/more": b"",
    "days.csv/more/part 1.csv": CSV,
}

#: The account of Azurite, which everyone knows.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """A server of S3 with the objects, which may be read by all; yields its URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    client.create_bucket(Bucket="shop")
    for key, body in OBJECTS.items():
        client.put_object(Bucket="shop", Key=key, Body=body, ACL="public-read")
    client.put_object(Bucket="shop", Key="sales/", Body=b"", ACL="public-read")
    yield url
    server.stop()


@pytest.fixture(scope="module")
def azurite() -> Iterator[str]:
    """A server of Azure with the objects; yields its URL."""
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("Azurite is not installed (npm install --global azurite)")
    port = free_port()
    options = ["--blobPort", port, "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    process = subprocess.Popen([program, *map(str, options)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url)
        put_to_azure(url, "shop?restype=container", b"", "shop\nrestype:container")
        for key, body in OBJECTS.items():
            put_to_azure(url, f"shop/{quote(key)}", body, f"shop/{quote(key)}")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def wait_for(url: str) -> None:
    for _ in range(300):
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"{url} does not answer")


def put_to_azure(url: str, path: str, body: bytes, resource: str) -> None:
    """Make a container or a blob; the signature is the one that Azure calls a shared key."""
    headers = {"x-ms-blob-type": "BlockBlob", "x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    lines = ["PUT", "", "", str(len(body) or ""), *[""] * 8, *(f"{name}:{value}" for name, value in headers.items())]
    text = "\n".join([*lines, f"/{ACCOUNT}/{ACCOUNT}/{resource}"])
    signature = b64encode(hmac.digest(b64decode(KEY), text.encode(), "sha256")).decode()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{signature}"
    httpx.put(f"{url}/{ACCOUNT}/{path}", headers=headers, content=body, trust_env=False).raise_for_status()


def environment(scheme: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the environment of a user of the store."""
    url = request.getfixturevalue("azurite" if scheme == "az" else "moto")
    if scheme == "az":
        return {
            "AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": url,
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        }  # fmt: skip
    if scheme == "gs":
        account = {"gcs_base_url": url, "disable_oauth": True}
        missing = dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
        return {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account | missing)}
    return {
        "AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
    }  # fmt: skip


@pytest.fixture(params=["s3", "gs", pytest.param("az", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of the bucket."""
    for name, value in {**environment(request.param, request), "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    return f"{request.param}://shop"


def test_an_object(tmp_path: Path, store: str) -> None:
    for name in ("one.csv", "*.csv", "odd/Umsätze 50%+1#~.csv", "odd", "o?d/*"):
        table = read(tmp_path, f"{store}/{name}")
        assert table.frame.to_dict(as_series=False) == {"x": [1, 2], "y": ["a", "b"]}, name
        assert table.version == f"sha256:{hashlib.sha256(CSV).hexdigest()}"


def test_objects(tmp_path: Path, store: str) -> None:
    for name in ("sales", "sales/", "sales/*/*.csv", "sales/**/part*.csv"):
        assert read(tmp_path, f"{store}/{name}").frame.to_dict(as_series=False) == {
            "x": [2023, 2, 2024, 2],
            "y": ["a", "b", "a", "b"],
            "year": [2023, 2023, 2024, 2024],
        }, name


def test_a_folder_that_is_an_object_too(tmp_path: Path, store: str) -> None:
    for name in ("days.csv", "days.csv/**/*.csv", "days*/**"):
        assert read(tmp_path, f"{store}/{name}").frame["x"].to_list() == [1, 2, 1, 2], name
    assert read(tmp_path, f"{store}/days.csv/*").frame["x"].to_list() == [1, 2]


def test_a_query_of_objects(tmp_path: Path, store: str) -> None:
    def query(text: str) -> list[int]:
        frame = read_table(Spec(name="m", data=Data(query=text, target="y")), tmp_path).frame
        return frame["year"].to_list()

    assert query(f"SELECT * FROM '{store}/sales/*/*.csv' ORDER BY x, year") == [2023, 2024, 2023, 2024]
    with pytest.raises(DataError, match=rf"data\.query: there is no file {store}/absent\.csv; check the URL"):
        query(f"SELECT * FROM '{store}/absent.csv'")


def test_a_store_without_the_table(tmp_path: Path, store: str) -> None:
    for name in ("absent.csv", "absent", "*.parquet"):
        with pytest.raises(DataError, match=rf"data\.path: there is no file {store}/{re.escape(name)}; check the URL"):
            read(tmp_path, f"{store}/{name}")
    with pytest.raises(DataError, match=r"data\.path: \w+://absent cannot be read: [^<]*404[^<]*; check the name, and"):
        read(tmp_path, store.replace("shop", "absent/t.csv"))


@pytest.mark.parametrize("url", ["", "/"])
def test_a_whole_bucket(tmp_path: Path, store: str, url: str) -> None:
    with pytest.raises(DataError, match=rf"{store}/sales/year=2023/part 0\.csv: its folders .* differ"):
        read(tmp_path, store + url)


def test_a_bucket_for_all(tmp_path: Path, moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ENDPOINT_URL": moto, "ALLOW_HTTP": "true", "SKIP_SIGNATURE": "true"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    assert read(tmp_path, "s3://shop/one.csv").frame["x"].to_list() == [1, 2]


@pytest.mark.parametrize(("scheme", "names"), [("s3a", "AWS_"), ("gs", "GOOGLE_"), ("az", "AZURE_"), ("adl", "AZURE_")])
def test_an_environment_without_credentials(
    tmp_path: Path, scheme: str, names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client then asks the machine itself, at an address that all clouds share."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("Generic error: Error performing PUT http://169.254.169.254/latest/api/token")

    monkeypatch.setattr("obstore.list", refuse)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    with pytest.raises(DataError, match=rf"data\.path: {scheme}://b cannot be read: .* no credentials; set {names}"):
        read(tmp_path, f"{scheme}://b/*.csv")
