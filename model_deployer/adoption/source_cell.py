"""Open the cell of a source: its own environment, a copy of the trusted files, and a process that has loaded it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_deployer.adoption.cell.cell_error import CellError
from model_deployer.adoption.cell.environment import CellEnvironment, prepare_environment
from model_deployer.adoption.cell.process import CellProcess, Limits, start_cell
from model_deployer.adoption.cell.requirements import requirements
from model_deployer.adoption.cell.trust import copy_trusted
from model_deployer.adoption.source.definitions import Definition, find_definitions, network_classes
from model_deployer.adoption.source.file_format import WEIGHTS
from model_deployer.adoption.source.source import Source, SourceFile
from model_deployer.contract.source_runner import SourceScript, SourceStep
from model_deployer.system.janitor import temporary_folder

#: Kinds whose files import packages that only the texts next to them name.
_CODE = {"mlflow", "cog", "python", "notebook"}

#: What a source states the version of, and what is not a package.
_NOT_PACKAGES = {"python", "producer"}


def source_environment(source: Source, cache: Path | None = None) -> CellEnvironment:
    """Return an environment with the versions of a source; it is made if the cache does not have it.

    The versions in the bytes of its files count. Where they state none, those that a text next to them pins do.

    Args:
        source: The source.
        cache: The folder of the environments; None for the default.

    Raises:
        CellError: if the packages cannot be installed.
        EnvironmentFault: if the environment cannot be written.
    """
    return prepare_environment(source_requirements(source), _python(source), cache)


def source_requirements(source: Source) -> list[str]:
    """Return the packages that a source needs, with the versions that it names; see :func:`source_environment`."""
    pins = dict(str(item.value).split("==", 1) for item in source.about("requirement") if "==" in str(item.value))
    versions = {name: text for name, text in source.versions.items() if name not in _NOT_PACKAGES}
    kinds = [file.kind for file in source.files]
    lines = requirements(kinds, source.libraries, versions)
    unpinned = {line for line in lines if line in pins}
    versions |= {name: text for name, text in pins.items() if name in unpinned or _CODE & set(kinds)}
    return requirements(kinds, source.libraries, versions)


@dataclass(frozen=True)
class OpenCell:
    """A source that was loaded in its cell.

    Attributes:
        process: The process that has loaded it.
        files: The folder with the copy of its files.
        steps: What was loaded, with paths in that folder.
        scripts: The scripts whose classes were made available.
    """

    process: CellProcess
    files: Path
    steps: tuple[SourceStep, ...]
    scripts: tuple[SourceScript, ...]


@contextmanager
def open_cell(
    source: Source, root: Path, trust: str, environment: CellEnvironment, limits: Limits | None = None
) -> Iterator[OpenCell]:
    """Load a source in its cell, and end the cell with the context.

    Classes of ``__main__`` that scripts in the folder define are made available; the scripts do not run.

    Args:
        source: The source.
        root: The file or folder that was read.
        trust: The digest of these files, with which the user consents to run them.
        environment: The environment of the source, from :func:`source_environment`.
        limits: What the source may take; None for the defaults.

    Raises:
        CellError: if the consent is for other files, or the source cannot be loaded.
    """
    with temporary_folder("model-deployer-source-") as folder:
        copy = copy_trusted(root, folder, trust)
        unknown = [(item.module, item.name) for item in source.imports if item.verdict == "unknown"]
        if copy.is_dir() and source.kind in WEIGHTS:
            unknown += network_classes(copy)
        definitions = find_definitions(copy, unknown) if copy.is_dir() else []
        files = copy if copy.is_dir() else folder
        steps = tuple(_step(file, root, source) for file in source.files)
        scripts = tuple(SourceScript(module=item.module, path=str(item.path), code=item.code) for item in definitions)
        with start_cell(environment, limits) as process:
            placed = [{**step.to_json(), "path": str(files / step.path)} for step in steps]
            _load(process, placed, definitions, environment)
            yield OpenCell(process, files, steps, scripts)


def _load(
    process: CellProcess,
    steps: list[dict[str, Any]],
    definitions: Sequence[Definition],
    environment: CellEnvironment,
) -> None:
    """Load a source; if it fails with other versions than its own, the error says so."""
    try:
        process.load(steps, [definition.script for definition in definitions])
    except CellError as error:
        raise CellError(". ".join([str(error), *environment.notes])) from None


def _step(file: SourceFile, root: Path, source: Source) -> SourceStep:
    path = file.path.name if file.path == root and root.is_file() else file.path.relative_to(root).as_posix()
    keys = {"key": file.key} if file.key else {}
    return SourceStep(kind=file.kind, path=path, libraries=tuple(source.libraries), **keys)


def _python(source: Source) -> tuple[int, int] | None:
    """Return the version of Python that a source states."""
    parts = source.versions.get("python", "").split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) > 1 and parts[0].isdigit() and parts[1].isdigit() else None
