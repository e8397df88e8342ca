"""docs/API_SPEC.yaml: the OpenAPI document that the server serves, as a file."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from model_deployer.contract.errors import CheckFailed, EnvironmentFault
from model_deployer.system.command import last_line, run
from model_deployer.system.http_client import auth_header, connect

#: Requests that schemathesis makes of each operation, beside those of its coverage phase.
EXAMPLES = 50

#: A wrong request may be refused with any status that says so; schemathesis knows 413 not as one.
_SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = ["4xx"]
"""


def fetch(url: str) -> dict[str, Any]:
    """The document that a server serves."""
    with connect(url) as client:
        document: dict[str, Any] = client.get("/docs.json").raise_for_status().json()
    return document


def write(document: dict[str, Any], path: Path) -> None:
    """Write the document as YAML, in its own order."""
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")


def check(path: Path, url: str) -> str:
    """Hold a file against the OpenAPI specification and against what a server serves.

    Raises:
        CheckFailed: It is not valid, or not what the server serves.
        EnvironmentFault: openapi-spec-validator is not installed.
    """
    try:
        from openapi_spec_validator import OpenAPIV31SpecValidator  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise EnvironmentFault(f"'{error.name}' is missing: pip install 'model-deployer[handoff]'") from None
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    errors = [error.message.splitlines()[0] for error in OpenAPIV31SpecValidator(document).iter_errors()]
    if errors:
        raise CheckFailed(f"{path.name} is no valid OpenAPI 3.1: {errors[0]}")
    if document != without_keys(fetch(url)):
        raise CheckFailed(f"{path.name} is not the document that the server serves")
    by_redocly = _lint(path)
    return f"valid OpenAPI 3.1 with {len(document['paths'])} paths, the same that the server serves; {by_redocly}"


def _lint(path: Path) -> str:
    """What Redocly says of it, where that is installed."""
    program = shutil.which("redocly")
    if program is None:
        return "Redocly is not installed here"
    done = run([program, "lint", path], timeout_seconds=120)
    if done.returncode:
        raise CheckFailed(f"{path.name} is refused by Redocly: {last_line(done)}")
    return "Redocly finds it valid, too"


def fuzz(path: Path, url: str, folder: Path) -> str:
    """Have schemathesis make requests from the document, and hold the answers against it.

    Raises:
        CheckFailed: An answer is not as the document says.
        EnvironmentFault: schemathesis is not installed.
    """
    program = Path(sys.executable).parent / "schemathesis"
    if not program.exists():
        raise EnvironmentFault("'schemathesis' is missing: pip install 'model-deployer[handoff]'")
    asked = folder / "fuzzed.json"
    asked.write_text(json.dumps(_expressible(yaml.safe_load(path.read_text(encoding="utf-8")))), encoding="utf-8")
    headers = [part for name, value in auth_header().items() for part in ("--header", f"{name}: {value}")]
    settings = folder / "schemathesis.toml"
    settings.write_text(_SETTINGS, encoding="utf-8")
    command: list[str | Path] = [program, "--config-file", settings, "run", asked, "--url", url]
    command += ["--max-examples", str(EXAMPLES), "--seed", "0", "--no-color", *headers]
    done = run(command, folder, timeout_seconds=600)
    if done.returncode:
        said = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        wrong = [line for line in said if line.startswith("- ")] or said[-1:]
        raise CheckFailed(f"schemathesis: {'; '.join(wrong[:3])}")
    counted = [line.strip() for line in done.stdout.splitlines() if "generated" in line]
    return f"requests: {counted[-1]}" if counted else "no answer contradicts the document"


def without_keys(document: dict[str, Any]) -> dict[str, Any]:
    """The document as a server without API keys serves it: whether there are keys is the operator's to say."""
    for operations in document["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)
            operation["responses"].pop("401", None)
    document.get("components", {}).pop("securitySchemes", None)
    document["security"] = []
    return document


def _expressible(document: dict[str, Any]) -> dict[str, Any]:
    """The document without what no JSON Schema can say.

    That columns are of one length, that headers may be unknown, and what is in a line of CSV.
    """
    for operations in document["paths"].values():
        for operation in operations.values():
            said = operation.get("parameters", [])
            operation["parameters"] = [each for each in said if each["in"] != "header"]
            contents = operation.get("requestBody", {}).get("content", {})
            contents.pop("text/csv", None)
            for content in contents.values():
                _without_columns(content)
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    body["examples"] = {name: each for name, each in body["examples"].items() if "columns" not in each["value"]}
    return document


def _without_columns(content: dict[str, Any]) -> None:
    schema = content["schema"]
    if "anyOf" in schema:
        schema["anyOf"] = [each for each in schema["anyOf"] if not each.get("$ref", "").endswith("Columns")]


def parse(text: str) -> Any:
    """A JSON document that a command printed.

    Raises:
        CheckFailed: It is none.
    """
    try:
        return json.loads(text)
    except ValueError:
        raise CheckFailed("what was printed is no JSON") from None
