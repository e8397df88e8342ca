"""The files of the web page, as a server sends them."""

import base64
import hashlib
import re

import httpx
import pytest

from model_deployer.contract.metric_catalog import MEANING
from model_deployer.serving.page.web_page import read_files
from tests.serving.page.keyed import KEY, KEYED
from tests.support.processes import Server
from tests.support.servers import Profile, SharedServers

FILES = read_files()
PATHS = ["/", *(f"/page/{name}" for name in FILES)]


@pytest.fixture(scope="module", params=[Profile(), KEYED], ids=["without keys", "with keys"])
def either(request: pytest.FixtureRequest, servers: SharedServers) -> Server:
    """A server without and one with API keys. Clients of this module send no key."""
    return servers.get(request.param)


@pytest.mark.parametrize("path", PATHS)
def test_file_is_public_and_the_same_for_every_model(either: Server, path: str) -> None:
    answer = httpx.get(either.url + path)
    assert answer.status_code == 200
    assert answer.content == FILES[path.removeprefix("/page").strip("/") or "index.html"].content
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", PATHS)
def test_unchanged_file_is_not_sent_again(server: Server, path: str) -> None:
    etag = httpx.get(server.url + path).headers["etag"]
    for tags in (etag, f'"other", {etag}', etag.removeprefix("W/"), "*"):
        answer = httpx.get(server.url + path, headers={"if-none-match": tags})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert httpx.get(server.url + path, headers={"if-none-match": '"other"'}).status_code == 200


def test_policy_allows_files_of_the_server_and_the_inline_script(server: Server) -> None:
    """The policy allows nothing by default, and the script in the HTML by its hash."""
    answer = httpx.get(server.url)
    directives = dict(directive.split(" ", 1) for directive in answer.headers["content-security-policy"].split("; "))
    (script,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert directives.pop("script-src") == f"'self' 'sha256-{digest}'"
    assert directives == {
        "default-src": "'none'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "base-uri": "'self'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert not re.search(r"\son\w+=|\sstyle=|javascript:", answer.text)


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_another_host(name: str) -> None:
    text = FILES[name].content.decode().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"\w+://|[\"'(]//", text)


@pytest.mark.parametrize("name", FILES)
def test_no_file_writes_html_or_keeps_data(name: str) -> None:
    """Text is inserted as text, and nothing stays in the browser."""
    text = FILES[name].content.decode()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Storage|cookie|indexedDB", text)


def test_every_file_is_used() -> None:
    """Every file is named by another one, and every file that is named exists."""
    texts = [file.content.decode() for file in FILES.values()]
    names = {name for text in texts for name in re.findall(r'(?:from "\./|"page/)([\w.]+)"', text)}
    assert names == FILES.keys() - {"index.html"}


def test_metrics_have_their_meaning() -> None:
    text = FILES["metric_catalog.js"].content.decode()
    assert all(meaning in text for meaning in MEANING.values())


@pytest.mark.parametrize(
    "path", ["/static_content/index.css", "/static_content/swagger-ui-bundle.js", "/page/", "/page/x"]
)
def test_other_files_are_not_reachable(server: Server, path: str) -> None:
    """BentoML's own page and its files are not reachable."""
    answer = httpx.get(server.url + path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "swagger" not in httpx.get(server.url).text


def test_page_has_the_methods_of_a_file(server: Server) -> None:
    head = httpx.head(server.url)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == len(FILES["index.html"].content)
    for path in PATHS[:2]:
        refusal = httpx.post(server.url + path)
        assert (refusal.status_code, refusal.json()["code"]) == (405, "method_not_allowed")
        assert {"GET", "HEAD"} <= set(refusal.headers["allow"].split(", "))


def test_page_is_public_in_the_document(servers: SharedServers) -> None:
    server = servers.get(KEYED)
    document = httpx.get(f"{server.url}/docs.json", headers={"x-api-key": KEY}).json()
    assert document["paths"]["/"]["get"]["security"] == []
