"""The documents match the behaviour of a real server."""

import json
import re
import subprocess
from dataclasses import replace
from typing import Any

import httpx
import pytest

from model_deployer.contract.errors import REQUEST_ERRORS
from model_deployer.handoff.documents.documents import GUIDE, README, documents
from model_deployer.package.package_data import PackageData
from model_deployer.package.readme_commands import LOCAL
from model_deployer.package.samples import Sample
from model_deployer.serving.observability.metric_specs import GRAPH_METRIC_SPECS
from tests.support import tiny
from tests.support.packages import package_of
from tests.support.processes import Server

Pages = dict[str, str]


@pytest.fixture(scope="module")
def package(server: Server) -> PackageData:
    """The data of a package for the model of the server."""
    plain = package_of(tiny.CONTRACT, tiny.EVALUATION, name="served", version="1.0.0")
    golden = _send(server, "example", {"rows": [tiny.ROW]})
    refused = _send(server, "a number is text", {"rows": [tiny.ROW | {"distance": "far"}]})
    return replace(plain, samples=plain.samples.model_copy(update={"golden": (golden,), "invalid": (refused,)}))


@pytest.fixture(scope="module")
def pages(package: PackageData) -> Pages:
    return documents(package)


def _send(server: Server, case: str, request: Any) -> Sample:
    response = httpx.post(f"{server.url}/predict", json=request)
    answer = {name: value for name, value in response.json().items() if name != "request_id"}
    return Sample(case=case, request=request, status=response.status_code, answer=answer)


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)


def test_the_request_of_the_readme_gets_the_answer_beside_it(server: Server, pages: Pages) -> None:
    (command,) = _blocks(pages[README], "sh request")
    command = command.replace(LOCAL, server.url)
    completed = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert json.loads(completed.stdout) in [json.loads(block) for block in _blocks(pages[README], "json")]


def test_json_requests_of_the_guide_get_their_status(server: Server, pages: Pages) -> None:
    """Every JSON request of the guide gets the status that it should."""
    blocks = [json.loads(block) for block in _blocks(pages[GUIDE], "json")]
    requests = [block for block in blocks if "predictions" not in block and "status" not in block]
    statuses = [httpx.post(f"{server.url}/predict", json=request).status_code for request in requests]
    assert statuses == [200, 200, 422]  # a bare row, columns, the refusal


def test_every_endpoint_of_the_guide_answers(server: Server, pages: Pages) -> None:
    paths = re.findall(r"^\| `GET (\S+)` \|", pages[GUIDE], re.MULTILINE)
    assert [httpx.get(f"{server.url}{path}", follow_redirects=True).status_code for path in paths] == [200] * 7


def test_the_answer_says_who_gave_it_and_which_request_it_was(server: Server) -> None:
    headers = {"X-Request-ID": "mine-1", "Accept": "application/vnd.apache.arrow.stream"}
    answer = httpx.post(f"{server.url}/predict", json=tiny.ROW, headers=headers)
    assert answer.headers["X-Request-ID"] == "mine-1"
    assert answer.headers["X-Model"] == "served:1.0.0"


def test_every_metric_of_the_guide_is_exported(server: Server, pages: Pages) -> None:
    exported = httpx.get(f"{server.url}/metrics").text
    for spec in GRAPH_METRIC_SPECS:
        assert f"| `{spec.name}` |" in pages[GUIDE]
        assert f"# HELP {spec.name.removesuffix('_total')}" in exported


def test_a_refusal_carries_the_title_and_retry_of_the_catalogue(package: PackageData) -> None:
    (refused,) = package.samples.invalid
    catalogue = {error.code: error for error in REQUEST_ERRORS}
    error = catalogue[refused.answer["code"]]
    assert (refused.status, refused.answer["title"], refused.answer["retry"]) == (
        error.status,
        error.title,
        error.retry,
    )
