"""docs/API_SPEC.yaml and docs/API_OTHER_SERVERS.yaml: the OpenAPI document of the server, as files."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from model_deployer.contract.errors import CheckFailed, EnvironmentFault
from model_deployer.handoff.api_parts import split
from model_deployer.package.package_data import OTHER_SPECIFICATION, SPECIFICATION
from model_deployer.serving.protocols.feedback import FEEDBACK_PATH
from model_deployer.system.command import last_line, run
from model_deployer.system.http_client import auth_header, connect

#: The number of requests that schemathesis generates per operation, in addition to its coverage phase.
EXAMPLES = 50

#: A list with more items is one of rows.
MAX_ITEMS = 10

#: Any client error may refuse a wrong request; by default, schemathesis does not accept 413.
_SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = ["4xx"]
"""

#: The source of a model may refuse rows that its contract accepts, and so what the document describes.
_SETTINGS_OF_SOURCE = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "4xx", "5xx"]
"""


def fetch(url: str) -> dict[str, Any]:
    """Return the OpenAPI document of a server."""
    with connect(url) as client:
        document: dict[str, Any] = client.get("/docs.json").raise_for_status().json()
    return document


def write(document: dict[str, Any], folder: Path) -> None:
    """Write the parts of the document as YAML, with their keys in the same order.

    Args:
        document: The OpenAPI document of the server.
        folder: The folder of the package.
    """
    for name, part in split(document).items():
        text = yaml.dump(part, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=120)
        (folder / name).write_text(text, encoding="utf-8")


class _PlainDumper(yaml.SafeDumper):
    """Writes equal parts of a document in full, as not every reader knows the references of YAML."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def check(folder: Path, url: str) -> str:
    """Check that the files are valid OpenAPI documents, and the parts of the one that a server serves.

    Args:
        folder: The folder of the package.
        url: The URL of the server.

    Returns:
        The result in a sentence.

    Raises:
        CheckFailed: If a file is missing or not valid, or differs from the document of the server.
        EnvironmentFault: If openapi-spec-validator is not installed.
    """
    try:
        from openapi_spec_validator import OpenAPIV31SpecValidator  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise EnvironmentFault(f"'{error.name}' is missing: pip install 'model-deployer[handoff]'") from None
    served, paths = split(_without_choices(fetch(url))), 0
    for path in _files(folder):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        errors = [error.message.splitlines()[0] for error in OpenAPIV31SpecValidator(document).iter_errors()]
        if errors:
            raise CheckFailed(f"{path.name} is not valid OpenAPI 3.1: {errors[0]}")
        if document != served.pop(path.relative_to(folder).as_posix(), None):
            raise CheckFailed(f"{path.name} differs from the OpenAPI document of the server")
        paths += len(document["paths"])
        _lint(path)
    if served:
        raise CheckFailed(f"{', '.join(served)} is missing")
    lint = "Redocly finds it valid, too" if shutil.which("redocly") else "Redocly is not installed on this machine"
    return f"valid OpenAPI 3.1 with {paths} paths, equal to the document of the server; {lint}"


def _files(folder: Path) -> list[Path]:
    return [folder / name for name in (SPECIFICATION, OTHER_SPECIFICATION) if (folder / name).exists()]


def _lint(path: Path) -> None:
    """Check a file with Redocly if it is installed."""
    program = shutil.which("redocly")
    completed = run([program, "lint", path], timeout_seconds=120) if program else None
    if completed and completed.returncode:
        raise CheckFailed(f"Redocly finds {path.name} invalid: {last_line(completed)}")


def fuzz(folder: Path, url: str, temporary: Path, *, is_graph: bool = True) -> str:
    """Generate requests from the documents with schemathesis, and check the server's answers against them.

    Args:
        folder: The folder of the package.
        url: The URL of the server.
        temporary: A folder for temporary files.
        is_graph: Whether the model is a graph, which answers every row that the document allows.

    Returns:
        The result in a sentence.

    Raises:
        CheckFailed: If an answer contradicts the document.
        EnvironmentFault: If schemathesis is not installed.
    """
    program = Path(sys.executable).parent / "schemathesis"
    if not program.exists():
        raise EnvironmentFault("'schemathesis' is missing: pip install 'model-deployer[handoff]'")
    settings = temporary / "schemathesis.toml"
    settings.write_text(_SETTINGS if is_graph else f"{_SETTINGS}{_SETTINGS_OF_SOURCE}", encoding="utf-8")
    return "; ".join(_fuzz(path, url, temporary, [program, "--config-file", settings]) for path in _files(folder))


def _fuzz(path: Path, url: str, folder: Path, program: Sequence[str | Path]) -> str:
    document_path = folder / "fuzzed.json"
    document = _without_inexpressible(yaml.safe_load(path.read_text(encoding="utf-8")))
    document_path.write_text(json.dumps(document), encoding="utf-8")
    headers = [part for name, value in auth_header().items() for part in ("--header", f"{name}: {value}")]
    command = [*program, "run", document_path, "--url", url]
    command += ["--max-examples", str(EXAMPLES), "--seed", "0", "--no-color", *headers]
    completed = run(command, folder, timeout_seconds=600)
    lines = [line.strip() for line in completed.stdout.splitlines() if line.strip()]
    if completed.returncode:
        problems = [line for line in lines if line.startswith("- ")] or lines[-1:]
        raise CheckFailed(f"schemathesis, {path.name}: {'; '.join(problems[:3])}")
    counts = [line for line in lines if "generated" in line]
    return f"requests of {path.name}: {counts[-1]}" if counts else f"no answer contradicts {path.name}"


def _without_choices(document: dict[str, Any]) -> dict[str, Any]:
    """Remove what the operator of a deployment chooses: API keys, and the route for labels of captured traffic."""
    document["paths"].pop(FEEDBACK_PATH, None)
    for operations in document["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)
            operation["responses"].pop("401", None)
    document.get("components", {}).pop("securitySchemes", None)
    document["security"] = []
    return document


def _without_inexpressible(document: dict[str, Any]) -> dict[str, Any]:
    """Remove the parts of a document whose rules JSON Schema cannot express.

    These are columns (which must have equal lengths), headers (which may be unknown), the lines of CSV, and tables and
    arrays in binary formats. Of the files of images only the examples remain, without the limit of rows: the limit of
    the bytes of a body comes before it. Of the sequences and tensors whose shape the request names, only the smallest
    remain, and of nested lists those whose inner lists are as short as possible. The name of the only column of a table
    may be its position.
    """
    for operations in document["paths"].values():
        for operation in operations.values():
            parameters = operation.get("parameters", [])
            operation["parameters"] = [parameter for parameter in parameters if parameter["in"] != "header"]
            contents = operation.get("requestBody", {}).get("content", {})
            for media_type in [name for name in contents if "json" not in name]:
                contents.pop(media_type)
            for content in contents.values():
                _remove_columns(content)
    if '"contentEncoding": "base64"' in json.dumps(document["components"]):
        _use_example_images(document["components"])
        _remove_limits_of_rows(document)
    _fix_lengths(document["components"].get("schemas", {}))
    _accept_positions(document["components"].get("schemas", {}))
    if "/predict" in document["paths"]:
        body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
        examples = body["examples"].items()
        body["examples"] = {name: example for name, example in examples if "columns" not in example["value"]}
    return document


def _fix_lengths(components: dict[str, Any]) -> None:
    """Leave only the smallest sequences and tensors in components, whose sizes agree with each other, in place."""
    for component in components.values():
        properties = component.get("properties", {})
        lengths = properties.get("shape", {}).get("prefixItems", [])[1:]
        for length in lengths:
            length["maximum"] = length["minimum"]
        if lengths:
            flat, nested = properties["data"]["anyOf"]
            _fix_sizes(flat)
            _fix_sizes(nested["items"])
        if "array" in component.get("type", ()) and component.get("items", {}).get("type") == "array":
            _fix_sizes(component["items"])


def _fix_sizes(schema: dict[str, Any]) -> None:
    """Leave only the smallest size of each level of nested lists, in place."""
    while "minItems" in schema:
        schema["maxItems"] = schema["minItems"]
        schema = schema["items"]


def _accept_positions(components: dict[str, Any]) -> None:
    """Accept 0, which pandas writes for a column without a name, as the name of an only column, in place."""
    for component in components.values():
        names = component.get("properties", {}).get("columns", {}).get("prefixItems", [])
        if len(names) == 1:
            names[0] = {"enum": [names[0]["const"], 0, "0"]}
            component["properties"]["columns"]["items"] = {"type": ["string", "integer"]}


def _use_example_images(schema: Any) -> None:
    """Replace the schema of every image by its examples, in place."""
    if isinstance(schema, list):
        for part in schema:
            _use_example_images(part)
    if isinstance(schema, dict):
        if schema.get("contentEncoding") == "base64" and schema.get("examples"):
            schema["enum"] = schema["examples"]
        for part in schema.values():
            _use_example_images(part)


def _remove_limits_of_rows(schema: Any) -> None:
    """Remove the largest number of items of every long list, in place."""
    if isinstance(schema, list):
        for part in schema:
            _remove_limits_of_rows(part)
    if isinstance(schema, dict):
        if isinstance(schema.get("maxItems"), int) and schema["maxItems"] > MAX_ITEMS:
            del schema["maxItems"]
        for part in schema.values():
            _remove_limits_of_rows(part)


def _remove_columns(content: dict[str, Any]) -> None:
    schema = content["schema"]
    if "anyOf" in schema:
        schema["anyOf"] = [part for part in schema["anyOf"] if not part.get("$ref", "").endswith("Columns")]


def parse(text: str) -> Any:
    """Return the JSON document that a command printed.

    Raises:
        CheckFailed: If the text is not JSON.
    """
    try:
        return json.loads(text)
    except ValueError:
        raise CheckFailed("the printed answer is not JSON") from None
