"""examples/clients/: a client in each common backend language, with types from the contract.

Each client is rendered from templates/LANGUAGE/ and has a check: a program that sends the sample requests with the
client and compares the answers. A client whose check fails is removed from the package.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader
from pydantic import TypeAdapter

from model_deployer.contract.artifact import Manifest
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import REQUEST_ERRORS
from model_deployer.contract.features import (
    Boolean,
    Categorical,
    Datetime,
    Feature,
    Image,
    Integer,
    NumberArray,
    Numeric,
)
from model_deployer.contract.image_file import example_image
from model_deployer.contract.outputs import Output, VectorOutput
from model_deployer.handoff.clients.languages import (
    LANGUAGES,
    RUST,
    SKETCHED_NUMBERS,
    Language,
    Numbers,
    Toolchain,
    Value,
    is_go_tag,
    is_long,
    split_words,
    typescript_key,
)
from model_deployer.package.clients import Client
from model_deployer.system.command import run
from model_deployer.writing.templates import jinja_environment

#: The number of attempts of a call: enough to wait for a worker that is replaced, but too few to overload a server.
ATTEMPTS = 4

#: The longest pause before the second attempt; it doubles for each later attempt.
PAUSE_SECONDS = 0.5

#: The time limit of a check, including compilation.
_CHECK_TIMEOUT_SECONDS = 600

_TEMPLATES = Path(__file__).parent / "templates"

_CLIENTS_FOLDER = "examples/clients"
_LIST = f"{_CLIENTS_FOLDER}/clients.json"

#: The largest number of literals in a type; a type with more of them is hard to read.
_MAX_LITERALS = 20

#: The folder of Debian's packages with the sources of Rust crates, for machines that cannot reach crates.io.
_DEBIAN_CRATES = Path("/usr/share/cargo/registry")


_CLIENTS = TypeAdapter(tuple[Client, ...])


@dataclass(frozen=True)
class Check:
    """The result of one client's check.

    Attributes:
        client: The client.
        passed: Whether every answer was as expected; None if this machine cannot run the check.
        detail: The last line of the check's output, or the tool that is not installed.
    """

    client: Client
    passed: bool | None
    detail: str


def write_clients(contract: Contract, manifest: Manifest, folder: Path) -> tuple[Client, ...]:
    """Render all clients into ``folder``/examples/clients/.

    Args:
        contract: The contract of the model, which defines the types of the clients.
        manifest: The manifest of the model.
        folder: The package's folder.
    """
    return tuple(_write(language, contract, manifest, folder) for language in LANGUAGES)


def run_clients(folder: Path, url: str, clients: Iterable[Client]) -> tuple[Client, ...]:
    """Check each client against a server, delete those that fail, and write examples/clients/clients.json.

    Args:
        folder: The package's folder, with its sample requests.
        url: The URL of the model's server. If it requires an API key, set ``API_KEY`` in the environment.
        clients: The clients that :func:`write_clients` wrote.

    Returns:
        All clients. A client that failed, or that this machine cannot run, has the reason in ``left_out``.
    """
    checked = tuple(_remove_if_failed(check, folder) for check in _checks(folder, url, clients))
    (folder / _LIST).write_bytes(_CLIENTS.dump_json(checked, indent=2) + b"\n")
    return checked


def listed_clients(folder: Path) -> tuple[Client, ...]:
    """Return all clients that a package lists, including those that were left out."""
    return _CLIENTS.validate_json((folder / _LIST).read_bytes())


def check_clients(folder: Path, url: str) -> list[Check]:
    """Check each client of a package against a server, without changes to the package."""
    return list(_checks(folder, url, [client for client in listed_clients(folder) if client.left_out is None]))


def _remove_if_failed(check: Check, folder: Path) -> Client:
    client = check.client
    if check.passed:
        return client.model_copy(update={"ran_with": _tool_version(client)})
    shutil.rmtree(folder / client.folder)
    if check.passed is None:
        reason = f"{check.detail} on the machine that wrote this package"
    else:
        reason = f"its check failed: {check.detail}"
    return client.model_copy(update={"files": (), "left_out": reason})


def _tool_version(client: Client) -> str | None:
    """Return the first line that the tools of a client print about their version."""
    language = next(language for language in LANGUAGES if language.name == client.language)
    toolchain = _installed_toolchain(language)
    if toolchain is None or not toolchain.version:
        return None
    code, output = _run(toolchain.version, Path.cwd())
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[0] if code == 0 and lines else None


def _checks(folder: Path, url: str, clients: Iterable[Client]) -> Iterator[Check]:
    with _temporary_copy(folder) as copy:
        for client in clients:
            yield _check(client, copy, url)


@contextmanager
def _temporary_copy(folder: Path) -> Iterator[Path]:
    """Yield a copy of the files that the checks need, so that compilers write nothing into the package."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as name:
        copy = Path(name)
        shutil.copytree(folder / "examples", copy / "examples")
        rust = copy / _CLIENTS_FOLDER / "rust"
        if _DEBIAN_CRATES.is_dir() and rust.is_dir():
            (rust / ".cargo").mkdir()
            (rust / ".cargo" / "config.toml").write_text(
                f'source.crates-io.replace-with = "debian"\nsource.debian.directory = "{_DEBIAN_CRATES}"\n'
            )
        yield copy


def _check(client: Client, folder: Path, url: str) -> Check:
    language = next(language for language in LANGUAGES if language.name == client.language)
    toolchain = _installed_toolchain(language)
    if toolchain is None:
        return Check(client, None, f"{language.tool} is not installed")
    code, output = _run(toolchain.command, folder, URL=url)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return Check(client, code == 0, lines[-1] if lines else f"no output, exit code {code}")


@cache
def _installed_toolchain(language: Language) -> Toolchain | None:
    """Return the first toolchain of the language that works on this machine; None if none does."""
    path = _environment()["PATH"]
    for toolchain in language.toolchains:
        if not all(shutil.which(tool, path=path) for tool in toolchain.tools):
            continue
        if toolchain.probe is None or _run(toolchain.probe, Path.cwd())[0] == 0:
            return toolchain
    return None


def _run(command: str, folder: Path, **variables: str) -> tuple[int, str]:
    """Run a shell command and return its exit code and its output; the code is 1 after a timeout."""
    shell = ["/bin/sh", "-c", f"exec 2>&1\n{command}"]
    try:
        completed = run(shell, folder, _environment() | variables, _CHECK_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return 1, f"the check did not end within {_CHECK_TIMEOUT_SECONDS} seconds"
    return completed.returncode, completed.stdout


def _environment() -> dict[str, str]:
    """Return the environment variables of this process, with its own interpreter as ``python``."""
    return os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}


@dataclass(frozen=True)
class _Field:
    """A field of a row, for the templates.

    Attributes:
        feature: The field in the contract.
        id: The identifier of the field in the language.
        about: The description for callers, in sentences.
        example: The value in the quick start; None if the quick start leaves the field out.
    """

    feature: Feature
    id: str
    about: str
    example: Value

    @property
    def name(self) -> str:
        return self.feature.name

    @property
    def kind(self) -> str:
        return self.feature.kind

    @property
    def type(self) -> str:
        """The key of the field's type in :attr:`Language.types`."""
        if isinstance(self.feature, NumberArray):
            name, axes = "integers" if self.feature.integers else "numbers", len(self.feature.sizes)
            return name if axes == 1 else f"{name}_{axes}"
        return self.kind

    @property
    def axes(self) -> int:
        """The number of lists in each other; 0 for a single value."""
        return len(self.feature.sizes) if isinstance(self.feature, NumberArray) else 0

    @property
    def item(self) -> str:
        """Whether the numbers of a list are ``integer`` or ``numeric``; else the kind."""
        if isinstance(self.feature, NumberArray):
            return "integer" if self.feature.integers else "numeric"
        return self.kind

    @property
    def required(self) -> bool:
        return self.feature.required

    @property
    def nullable(self) -> bool:
        return self.feature.nullable

    @property
    def in_example(self) -> bool:
        """Whether the quick start of a language with zero values sets the field."""
        return self.example is not None or not self.nullable

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed values, if they are few enough for a type of literals; else an empty tuple."""
        feature = self.feature
        if not isinstance(feature, Categorical) or feature.unknown != "reject":
            return ()
        categories = feature.categories or ()
        return categories if len(categories) <= _MAX_LITERALS else ()


def _write(language: Language, contract: Contract, manifest: Manifest, folder: Path) -> Client:
    words = [*split_words(manifest.name), "client"]
    templates = _templates(language)
    package, schema = "".join(words), contract.output.json_schema()
    values = {
        "model": manifest,
        "package": package,
        "crate": "_".join(words),
        "module": "".join(word.capitalize() for word in words),
        "fields": _fields(language, contract),
        "output": contract.output,
        "about": schema["description"],
        "answer_type": _answer_type(language, contract.output),
        "answers": {name: answer["description"] for name, answer in schema["properties"].items()},
        "max_literals": _MAX_LITERALS,
        "timeout_ms": round(contract.limits.timeout_seconds * 1000),
        "types": language.types,
        "timeout": contract.limits.timeout_seconds,
        "attempts": ATTEMPTS,
        "pause": PAUSE_SECONDS,
        "retried": _retried_statuses(),
    }
    files = []
    for name in templates.list_templates():
        path = Path(_CLIENTS_FOLDER, language.folder, name.replace("PACKAGE", package).removesuffix(".j2"))
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(templates.get_template(name).render(values), encoding="utf-8")
        files.append(str(path))
    return Client(
        language=language.name,
        folder=f"{_CLIENTS_FOLDER}/{language.folder}",
        files=tuple(files),
        needs=language.needs,
        command=(_installed_toolchain(language) or language.toolchains[0]).command,
    )


def _answer_type(language: Language, output: Output) -> str:
    """Return the type of a number of an answer, or of several numbers."""
    if not isinstance(output, VectorOutput):
        return language.types["numeric"]
    return language.types["numbers"] if output.names is None else language.map_type


def _templates(language: Language) -> Environment:
    templates = jinja_environment(FileSystemLoader(_TEMPLATES / language.folder))
    names = ("quote", "literal", "sketch", "comment_lines", "comment")
    templates.filters |= {name: getattr(language, name) for name in names}
    templates.filters |= {
        "json": json.dumps,
        "key": typescript_key,
        "rust_value": _rust_value,
        "rust_sketch": _rust_sketch,
    }
    templates.tests["go_tag"] = is_go_tag
    return templates


def _rust_value(field: _Field) -> str:
    """Return the example in Rust: text as an owned String, and an optional value in an Option."""
    if field.example is None:
        return "None"
    literal = RUST.literal(field.example)
    value = f"{literal}.into()" if isinstance(field.example, str) else literal
    return f"Some({value})" if field.nullable else value


def _rust_sketch(field: _Field) -> str:
    """Return the example in the quick start in Rust, which is compiled: a long list is one of zeros."""
    if isinstance(field.example, str):
        value = f"{RUST.sketch(field.example)}.into()"
        return f"Some({value})" if field.nullable else value
    if not isinstance(field.example, tuple) or (field.axes == 1 and len(field.example) <= SKETCHED_NUMBERS):
        return _rust_value(field)
    numbers = np.array(field.example)
    value = RUST.literal(numbers.dtype.type().item())
    for size in reversed(numbers.shape):
        value = f"vec![{value}; {size}]"
    return f"Some({value})" if field.nullable else value


def _fields(language: Language, contract: Contract) -> list[_Field]:
    """Return the fields in the order of the contract, required ones first."""
    features = sorted(contract.features, key=lambda feature: not feature.required)
    ids = language.identifiers(feature.name for feature in features)
    return [_Field(feature, id, _about(feature), _example(feature)) for feature, id in zip(features, ids, strict=True)]


def _about(feature: Feature) -> str:
    """Return what a caller must know about a field, in sentences."""
    description = feature.description and feature.description.strip()
    if description and description[-1] not in ".!?":
        description += "."
    expected = feature.expected()
    sentences = [
        description,
        feature.unit and f"Unit: {feature.unit}.",
        f"{expected[0].upper()}{expected[1:]}.",
        *feature.consequences(),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _example(feature: Feature) -> Value:
    """Return a value for the quick start; None if the field may be null and has no example."""
    if isinstance(feature, NumberArray):
        return _array_example(feature)
    if feature.example is not None or feature.nullable:
        return feature.example
    match feature:
        case Integer():
            return next((bound for bound in (feature.minimum, feature.maximum) if bound is not None), 0)
        case Numeric():
            return next((bound for bound in (feature.minimum, feature.maximum) if bound is not None), 0.0)
        case Boolean():
            return False
        case Datetime():
            return "2013-11-01T17:05:00Z" if feature.zoned else "2013-11-01T17:05:00"
        case Image():
            return example_image(feature.height, feature.width, feature.channels)
        case Categorical():
            return (feature.categories or ("text",))[0]
    return "text"


def _array_example(feature: NumberArray) -> Numbers | None:
    """Return a list, or nested lists, for the quick start, with numbers of one type; very many are equal numbers."""
    if feature.example is None and feature.nullable:
        return None
    number = int if feature.integers else float
    if feature.example is not None and not is_long(feature.example):
        return _with_type(feature.example, number)
    value: Any = number(next((bound for bound in (feature.minimum, feature.maximum) if bound is not None), 0))
    for low, _ in reversed(feature.sizes):
        value = (value,) * low
    return tuple(value)


def _with_type(numbers: Numbers, number: Callable[[float], float]) -> Numbers:
    return tuple(_with_type(item, number) if isinstance(item, tuple) else number(item) for item in numbers)


def _retried_statuses() -> list[int]:
    """Return the statuses of errors after which the same request may succeed."""
    return sorted({error.status for error in REQUEST_ERRORS if error.retry})
