import os
import re
from collections.abc import Iterator
from pathlib import Path

import bentoml
import httpx
import pytest
from openapi_spec_validator import validate

from model_deployer.contract.errors import UsageError
from model_deployer.serving.http import keys
from tests.support import tiny
from tests.support.processes import Server, run, serve

OLD, NEW, WRONG = ("old-key-of-a-caller", "new-key-of-a-caller", "wrong-key-of-a-caller")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, file: Path) -> Iterator[Server]:
    """A server that requires one of the keys in ``file``."""
    folder = tmp_path_factory.mktemp("server")
    file.write_text(f"# the shop\n{OLD}\n\n{NEW}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEPLOYER_API_KEY_FILE", str(file))
        patch.setenv("DEPLOYER_LOG_REQUESTS", "all")
        with serve([], tiny.home(folder / "home", "1.0.0"), folder / "log") as running:
            yield running


@pytest.mark.parametrize(
    "path", ["/predict", "/model", "/docs.json", "/metrics", "/schema.json", "/static_content/index.css", "/nothing"]
)
def test_without_a_key_nothing_is_answered_and_nothing_described(server: Server, path: str) -> None:
    for headers in ({}, {"x-api-key": WRONG}, {"authorization": f"Bearer {WRONG}"}, {"authorization": f"Basic {OLD}"}):
        answer = httpx.request("POST" if path == "/predict" else "GET", server.url + path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("key", [OLD, NEW])
def test_each_of_the_keys_opens_in_either_header(server: Server, key: str) -> None:
    for headers in ({"x-api-key": key}, {"authorization": f"Bearer {key}"}, {"authorization": f"bearer {key}"}):
        assert httpx.post(f"{server.url}/predict", json=tiny.ROW, headers=headers).status_code == 200
        assert httpx.get(f"{server.url}/schema.json", headers=headers).status_code == 200


def test_the_openapi_document_says_where_a_key_is_wanted(server: Server) -> None:
    document = httpx.get(f"{server.url}/docs.json", headers={"x-api-key": OLD}).json()
    validate(document)
    assert document["security"] == [{"bearer": []}, {"header": []}]
    assert "401" in document["paths"]["/predict"]["post"]["responses"]
    assert document["paths"]["/readyz"]["get"]["security"] == []


def test_health_needs_no_key(server: Server) -> None:
    assert {httpx.get(f"{server.url}/{path}").status_code for path in ("livez", "readyz", "healthz")} == {200}


def test_bentomls_client_sends_a_key(server: Server) -> None:
    with bentoml.SyncHTTPClient(server.url, token=NEW) as client:
        assert client.predict(rows=[tiny.ROW])["model"]["name"] == "served"


def test_no_key_is_in_the_log(server: Server) -> None:
    httpx.post(f"{server.url}/predict", json=tiny.ROW, headers={"x-api-key": WRONG})
    log = server.log.read_text()
    assert '"status": 401' in log
    assert not [key for key in (OLD, NEW, WRONG) if key in log]


def test_keys_change_while_the_server_runs(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test sets the clock, so that it does not have to wait."""
    now = [0.0]
    monkeypatch.setattr("model_deployer.serving.http.keys.time.monotonic", lambda: now[0])
    key_file = file.with_name("key_file")

    def write(content: str) -> None:
        key_file.write_text(content)
        now[0] += 2
        os.utime(key_file, ns=(0, int(now[0] * 1e9)))

    write(OLD)
    api_keys = keys.load(key_file)
    assert api_keys is not None
    assert api_keys.allow({b"x-api-key": OLD.encode()})
    write(NEW)
    assert not api_keys.allow({b"x-api-key": OLD.encode()})
    assert api_keys.allow({b"x-api-key": NEW.encode()})
    write(f"short\n{OLD}\n   # {WRONG}")
    assert [api_keys.allow({b"x-api-key": key.encode()}) for key in (OLD, NEW, "short", WRONG)] == [True, *[False] * 3]
    for unusable in ("", "short", f"# {OLD}", "\n\n"):
        write(unusable)
        assert not any(api_keys.allow({b"x-api-key": key.encode()}) for key in (OLD, NEW, "short", unusable, ""))
    write(NEW)
    assert api_keys.allow({b"x-api-key": NEW.encode()})
    key_file.unlink()
    now[0] += 2
    assert not api_keys.allow({b"x-api-key": NEW.encode()})


@pytest.mark.parametrize("value", ["", " ", ","])
def test_a_variable_without_a_key_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DEPLOYER_API_KEYS", value)
    with pytest.raises(UsageError, match="DEPLOYER_API_KEYS: there is no API key"):
        keys.load(None)


def test_the_variable_holds_several_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYER_API_KEYS", f"{OLD}, {NEW}")
    api_keys = keys.load(None)
    assert api_keys is not None
    assert [api_keys.allow({b"x-api-key": key.encode()}) for key in (OLD, NEW, WRONG, "")] == [True, True, False, False]


def test_keys_have_names(tmp_path: Path) -> None:
    """A key may itself have a colon; only a name is followed by a space."""
    with_colon = "key-with:a-colon-in-it"
    (tmp_path / "keys").write_text(f"shop: {OLD}\nshop:   {NEW}\n{with_colon}\n")
    api_keys = keys.load(tmp_path / "keys")
    assert api_keys is not None
    names = [api_keys.name_of({b"x-api-key": key.encode()}) for key in (OLD, NEW, with_colon, f"shop: {OLD}")]
    assert names[:2] + names[3:] == ["shop", "shop", None]
    assert re.fullmatch("sha256:[0-9a-f]{8}", names[2] or "")


@pytest.mark.parametrize("content", ["", "# nothing\n", "  # an-indented-comment\n", "short\n"])
def test_a_file_that_protects_nothing_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys").write_text(content)
    with pytest.raises(UsageError) as caught:
        keys.load(tmp_path / "keys")
    assert "short" not in str(caught.value).replace("too short", "")


@pytest.mark.slow
def test_a_server_without_its_file_of_keys_does_not_start(tmp_path: Path) -> None:
    home = tiny.home(tmp_path / "home", "1.0.0")
    completed = run("bentoml", "serve", BENTOML_HOME=str(home), DEPLOYER_API_KEY_FILE=str(tmp_path / "absent"))
    assert completed.returncode == 1
    assert "the API key file cannot be read" in completed.stderr
    assert "Traceback" not in completed.stderr
