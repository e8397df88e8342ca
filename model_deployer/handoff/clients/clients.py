"""examples/clients/: a client in each language that backends are written in, typed from the contract.

Each is rendered from templates/LANGUAGE/ and has a check: a program that sends the sample requests
through the client and compares what comes back. A client whose check does not run through leaves the package.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jinja2 import Environment, FileSystemLoader
from pydantic import TypeAdapter

from model_deployer.contract.artifact import Manifest
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import REQUEST_ERRORS
from model_deployer.contract.features import Boolean, Categorical, Datetime, Feature, Integer, Numeric
from model_deployer.handoff.clients.languages import LANGUAGES, RUST, Language, Toolchain, is_tag, key, words_of
from model_deployer.package.clients import Client
from model_deployer.system.command import run
from model_deployer.writing.templates import jinja_environment

#: Attempts of a call: enough to outlast a worker that is replaced, few enough not to keep an overloaded server so.
ATTEMPTS = 4

#: The longest pause before the second attempt; that before each later one is twice as long.
PAUSE_SECONDS = 0.5

#: Compilers included.
_CHECK_SECONDS = 600

_TEMPLATES = Path(__file__).parent / "templates"

_CLIENTS_FOLDER = "examples/clients"
_LIST = f"{_CLIENTS_FOLDER}/clients.json"

#: As many literals as a type can have and still be read.
_FEW = 20

#: Where Debian keeps the sources of Rust's packages, for machines that cannot reach crates.io.
_DEBIAN_CRATES = Path("/usr/share/cargo/registry")


_CLIENTS = TypeAdapter(tuple[Client, ...])


@dataclass(frozen=True)
class Check:
    """What became of one client's check.

    Attributes:
        client: Of which.
        passed: Whether every answer was as expected; None where this machine cannot run it.
        detail: Its last line, or what is not installed.
    """

    client: Client
    passed: bool | None
    detail: str


def write_clients(contract: Contract, manifest: Manifest, folder: Path) -> tuple[Client, ...]:
    """Render all clients into ``folder``/examples/clients/.

    Args:
        contract: What the clients are typed from.
        manifest: Names the model.
        folder: The package's folder.
    """
    return tuple(_write(language, contract, manifest, folder) for language in LANGUAGES)


def run_clients(folder: Path, url: str, clients: Iterable[Client]) -> tuple[Client, ...]:
    """Check each client against a server, delete those that fail, and write examples/clients/clients.json.

    Args:
        folder: The package's folder, with its sample requests.
        url: Where the model is served. Where it wants an API key, ``API_KEY`` of the environment is sent.
        clients: Those that :func:`write_clients` wrote.

    Returns:
        All of them. One that failed, or that this machine cannot run, says in ``left_out`` why it is not there.
    """
    kept = tuple(_keep(check, folder) for check in _checks(folder, url, clients))
    (folder / _LIST).write_bytes(_CLIENTS.dump_json(kept, indent=2) + b"\n")
    return kept


def check_clients(folder: Path, url: str) -> list[Check]:
    """Check each client of a package against a server; the package stays as it is."""
    clients = _CLIENTS.validate_json((folder / _LIST).read_bytes())
    return list(_checks(folder, url, [client for client in clients if client.left_out is None]))


def _keep(check: Check, folder: Path) -> Client:
    client = check.client
    if check.passed:
        return client
    shutil.rmtree(folder / client.folder)
    if check.passed is None:
        reason = f"{check.detail} on the machine that wrote this package"
    else:
        reason = f"its check failed: {check.detail}"
    return client.model_copy(update={"files": (), "left_out": reason})


def _checks(folder: Path, url: str, clients: Iterable[Client]) -> Iterator[Check]:
    with _copy(folder) as place:
        for client in clients:
            yield _check(client, place, url)


@contextmanager
def _copy(folder: Path) -> Iterator[Path]:
    """A copy of what the checks need, so that nothing that a compiler leaves behind gets into the package."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as name:
        place = Path(name)
        shutil.copytree(folder / "examples", place / "examples")
        rust = place / _CLIENTS_FOLDER / "rust"
        if _DEBIAN_CRATES.is_dir() and rust.is_dir():
            (rust / ".cargo").mkdir()
            (rust / ".cargo" / "config.toml").write_text(
                f'source.crates-io.replace-with = "debian"\nsource.debian.directory = "{_DEBIAN_CRATES}"\n'
            )
        yield place


def _check(client: Client, place: Path, url: str) -> Check:
    language = next(language for language in LANGUAGES if language.name == client.language)
    way = _way(language)
    if way is None:
        return Check(client, None, f"{language.tool} is not installed")
    code, output = _run(way.command, place, URL=url)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return Check(client, code == 0, lines[-1] if lines else f"no output, exit code {code}")


@cache
def _way(language: Language) -> Toolchain | None:
    """The first way that this machine can go."""
    path = _environment()["PATH"]
    there = (way for way in language.toolchains if all(shutil.which(tool, path=path) for tool in way.tools))
    return next((way for way in there if way.probe is None or _run(way.probe, Path.cwd())[0] == 0), None)


def _run(command: str, place: Path, **variables: str) -> tuple[int, str]:
    """The exit code of a shell command and what it printed; 1 where it took too long."""
    try:
        done = run(["/bin/sh", "-c", f"exec 2>&1\n{command}"], place, _environment() | variables, _CHECK_SECONDS)
    except subprocess.TimeoutExpired:
        return 1, f"it did not end within {_CHECK_SECONDS} seconds"
    return done.returncode, done.stdout


def _environment() -> dict[str, str]:
    """That of this process, with its own interpreter as ``python``."""
    return os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}


@dataclass(frozen=True)
class _Field:
    """A field of a row as the templates want it."""

    feature: Feature
    id: str
    about: str
    example: Any

    @property
    def name(self) -> str:
        return self.feature.name

    @property
    def kind(self) -> str:
        return self.feature.kind

    @property
    def required(self) -> bool:
        return self.feature.required

    @property
    def nullable(self) -> bool:
        return self.feature.nullable

    @property
    def shown(self) -> bool:
        """Whether the quick start of a language that has zero values says anything of it."""
        return self.example is not None or not self.nullable

    @property
    def choices(self) -> tuple[str, ...]:
        """The only values it takes, where a type of a few literals can say them."""
        feature = self.feature
        if isinstance(feature, Categorical) and feature.unknown == "reject" and len(feature.categories or ()) <= _FEW:
            return feature.categories or ()
        return ()


def _write(language: Language, contract: Contract, manifest: Manifest, folder: Path) -> Client:
    words = [*words_of(manifest.name), "client"]
    templates = _templates(language)
    package, schema = "".join(words), contract.output.json_schema()
    known = {
        "model": manifest,
        "package": package,
        "crate": "_".join(words),
        "module": "".join(word.capitalize() for word in words),
        "fields": _fields(language, contract),
        "output": contract.output,
        "about": schema["description"],
        "answers": {name: answer["description"] for name, answer in schema["properties"].items()},
        "few": _FEW,
        "timeout_ms": round(contract.limits.timeout_seconds * 1000),
        "types": language.types,
        "timeout": contract.limits.timeout_seconds,
        "attempts": ATTEMPTS,
        "pause": PAUSE_SECONDS,
        "retried": _retried(),
    }
    files = []
    for name in templates.list_templates():
        path = Path(_CLIENTS_FOLDER, language.folder, name.replace("PACKAGE", package).removesuffix(".j2"))
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(templates.get_template(name).render(known), encoding="utf-8")
        files.append(str(path))
    return Client(
        language=language.name,
        folder=f"{_CLIENTS_FOLDER}/{language.folder}",
        files=tuple(files),
        needs=language.needs,
        command=(_way(language) or language.toolchains[0]).command,
    )


def _templates(language: Language) -> Environment:
    templates = jinja_environment(FileSystemLoader(_TEMPLATES / language.folder))
    names = ("quote", "literal", "remark", "comment")
    templates.filters |= {name: getattr(language, name) for name in names}
    templates.filters |= {"json": json.dumps, "key": key, "rust": _rust}
    templates.tests["taggable"] = is_tag
    return templates


def _rust(field: _Field) -> str:
    """The example as Rust wants it: text that is owned, what may be missing in an Option."""
    if field.example is None:
        return "None"
    literal = RUST.literal(field.example)
    value = f"{literal}.into()" if isinstance(field.example, str) else literal
    return f"Some({value})" if field.nullable else value


def _fields(language: Language, contract: Contract) -> list[_Field]:
    """The fields in the order of the contract, those that may be left out last."""
    features = sorted(contract.features, key=lambda feature: not feature.required)
    ids = language.identifiers(feature.name for feature in features)
    return [_Field(feature, id, _about(feature), _example(feature)) for feature, id in zip(features, ids, strict=True)]


def _about(feature: Feature) -> str:
    """What a caller has to know of a field, in sentences."""
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


def _example(feature: Feature) -> str | float | bool | None:
    """A value for the quick start; None where the field can do without."""
    if feature.example is not None or feature.nullable:
        return feature.example
    match feature:
        case Integer():
            return next((end for end in (feature.minimum, feature.maximum) if end is not None), 0)
        case Numeric():
            return next((end for end in (feature.minimum, feature.maximum) if end is not None), 0.0)
        case Boolean():
            return False
        case Datetime():
            return "2013-11-01T17:05:00Z" if feature.zoned else "2013-11-01T17:05:00"
        case Categorical():
            return (feature.categories or ("text",))[0]
    return "text"


def _retried() -> list[int]:
    """The statuses after which the same request may succeed."""
    return sorted(error.status for error in REQUEST_ERRORS if error.retry)
