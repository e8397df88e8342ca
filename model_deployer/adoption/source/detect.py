"""Find the model in what a team hands over: a file, a folder of a known format, or a set of files."""

import filecmp
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from model_deployer.adoption.source.app_text import decoded, notebook_code, statements_of_text
from model_deployer.adoption.source.definitions import network_classes
from model_deployer.adoption.source.file_format import MODEL_FORMATS, WEIGHTS
from model_deployer.adoption.source.folder_format import folder_source, model_folders, source_of_file
from model_deployer.adoption.source.opened_file import OpenedFile, open_file
from model_deployer.adoption.source.role import Role, column_names
from model_deployer.adoption.source.source import Source, SourceFile
from model_deployer.adoption.source.statement import Statement
from model_deployer.adoption.source.unreadable_source import UnreadableSource
from model_deployer.adoption.source.width import class_labels, feature_names, width_in, width_out
from model_deployer.adoption.source_files import source_files

#: A folder with more files is not a set of files that belong together.
MAX_FILES = 5_000

#: What is taken for the model of a folder without a whole model, in this order.
_FALLBACKS = ("model", "function", "transformer")

#: How many models a message names.
_MAX_NAMED = 5

#: More transformers than these are not combined; each of them makes the search longer.
_MAX_TRANSFORMERS = 6

#: The suffixes of texts that a message mentions: tables, and what should have been a model.
_LIKE_MODELS = {".csv", ".tsv", ".pkl", ".pickle", ".joblib", ".sav", ".model", ".bin", ".pt", ".pth", ".h5", ".onnx"}

#: The suffixes of files that are not expected to hold a model.
_DOCUMENTS = {
    *(".py", ".ipynb", ".r", ".js", ".ts", ".jsx", ".tsx", ".css", ".html", ".htm", ".sh", ".bat", ".ps1", ".fish"),
    *(".md", ".rst", ".txt", ".pdf", ".doc", ".docx", ".pptx", ".log", ".toml", ".yml", ".yaml", ".ini", ".cfg"),
    *(".lock", ".xml", ".iml", ".svg", ".png", ".jpg", ".jpeg", ".gif", ".ico", ".webmanifest", ".tfevents", ".whl"),
}

_Part = tuple[SourceFile, Role, Any]


def detect(path: Path, steps: Sequence[str] = ()) -> Source:
    """Return the model of a file or a folder, read without running anything of it.

    Args:
        path: The file or folder.
        steps: The files that the user names as the steps of the model, in their order; within a folder. ``file#key``
            names an object within a dict.

    Raises:
        UnreadableSource: if there is no model, or if there are several; the message says what to hand over.
    """
    if not path.exists():
        is_link = path.is_symlink() and "annex" in str(path.readlink())
        hint = "is a link of git-annex: run 'git annex get' first" if is_link else "does not exist"
        raise UnreadableSource(f"'{path.name}' {hint}")
    if path.is_file():
        return _complete(_with_name(_one_file(path, steps), steps))
    if not steps and (source := folder_source(path)):
        return _complete(replace(source, statements=source.statements + tuple(_texts(path))), path)
    return _complete(_set_of_files(path, steps), path)


def _with_name(source: Source, steps: Sequence[str]) -> Source:
    """Return a notebook or script with the name of the object that the user chooses: ``notebook.ipynb#model``."""
    name = steps[0].partition("#")[2] if steps else ""
    if not name or source.kind not in ("notebook", "python"):
        return source
    return replace(source, files=(replace(source.files[0], key=name),))


def _one_file(path: Path, steps: Sequence[str]) -> Source:
    opened = open_file(path)
    parts = opened.parts()
    if steps and opened.role.kind == "bundle":
        return _chosen(path.parent, steps, [opened], [])
    if not any(role.kind in ("model", "function", "transformer") for _, role, _ in parts):
        raise UnreadableSource(_advice(opened, parts[0][1]))
    if opened.role.kind != "bundle":
        source = source_of_file(opened)
        return replace(source, statements=tuple(_statements(source.model)) + source.statements)
    return _from_parts(parts, [opened], [], {}, path.parent)


def _set_of_files(folder: Path, steps: Sequence[str]) -> Source:
    """Find the steps of a model among the files of a folder, by their roles and their widths."""
    folders = list(model_folders(folder))
    paths = [path for path in source_files(folder) if not any(path.is_relative_to(inner) for inner in folders)]
    if len(paths) > MAX_FILES:
        raise UnreadableSource(f"the folder has more than {MAX_FILES:,} files: hand over those of the model")
    opened, left_out = _opened(paths, folder)
    texts = list(_texts(folder))
    files = [file for file in opened if file.format.name in MODEL_FORMATS - {"python", "notebook"}]
    if steps:
        return _chosen(folder, steps, files, texts)
    files = _distinct(files, left_out)
    parts = [part for file in files for part in file.parts()]
    if folders:
        return _with_folders(folders, parts, folder, texts)
    return _from_parts(parts, files, texts, left_out, folder)


def _opened(paths: list[Path], folder: Path) -> tuple[list[OpenedFile], dict[str, str]]:
    """Return the files that can be read, and why others hold no model: those that look like one first."""
    opened: list[OpenedFile] = []
    damaged: dict[str, str] = {}
    others: dict[str, str] = {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            file = open_file(path)
        except UnreadableSource as error:
            damaged[name] = str(error)
        else:
            opened.append(file)
            if file.role.advice and (file.format.name != "text" or path.suffix in _LIKE_MODELS):
                others[name] = _advice(file, file.role)
    reasons = damaged | others
    return opened, {name: reason for name, reason in reasons.items() if not _is_document(Path(name))}


def _distinct(files: list[OpenedFile], left_out: dict[str, str]) -> list[OpenedFile]:
    """Return the files without copies of the ones before them."""
    distinct: list[OpenedFile] = []
    for file in files:
        first = next((other for other in distinct if filecmp.cmp(other.path, file.path, shallow=False)), None)
        if first is None:
            distinct.append(file)
        else:
            left_out[str(file.path)] = f"'{file.path.name}' is there twice: {_both(first.path, file.path)}"
    return distinct


def _both(first: Path, second: Path) -> str:
    common = os.path.commonpath([first.parent, second.parent])
    return f"'{first.relative_to(common).as_posix()}' and '{second.relative_to(common).as_posix()}' are equal"


def _is_document(path: Path) -> bool:
    """Return whether a file is not expected to hold a model: programs, pages and settings."""
    return path.suffix.lower() in _DOCUMENTS or path.name.startswith(".") or not path.suffix


def _with_folders(folders: list[Path], parts: list[_Part], folder: Path, texts: list[Statement]) -> Source:
    """Return the model that is a folder within the folder, such as a SavedModel next to an app."""
    models = [part for part, role, _ in parts if role.kind == "model" and part.kind not in WEIGHTS]
    names = [inner.relative_to(folder).as_posix() for inner in folders] + [_name(part, folder) for part in models]
    if len(names) > 1:
        raise UnreadableSource(_several(names, "hand over one of them alone"))
    source = folder_source(folders[0])
    assert source is not None
    left_out = {_name(part): _not_applied(part) for part, role, _ in parts if role.kind == "transformer"}
    return replace(source, statements=source.statements + tuple(texts), left_out=left_out)


def _not_applied(part: SourceFile) -> str:
    return f"'{_name(part)}' prepares columns, and is not applied before the model: do it before, if the model needs it"


def _from_parts(
    parts: list[_Part], files: list[OpenedFile], texts: list[Statement], left_out: dict[str, str], folder: Path
) -> Source:
    model = _only_model(parts, left_out, folder)
    before = [part for part, role, _ in parts if role.kind == "transformer"]
    chain = _chain(model, _width_of(model, files), before, left_out)
    used = [*chain, model]
    statements = [statement for part in used for statement in _statements(part)]
    statements += [statement for part in parts for statement in _side_statements(part)]
    kept = {part.path for part in used}
    return Source(
        model.kind,
        tuple(used),
        objects={file.path.name: file.value for file in files},
        versions={name: text for file in files if file.path in kept for name, text in file.versions.items()},
        statements=tuple(statements + [item for file in files for item in file.statements] + texts),
        left_out=left_out,
        imports=tuple(dict.fromkeys(item for file in files if file.path in kept for item in file.imports)),
    )


def _chosen(folder: Path, steps: Sequence[str], files: list[OpenedFile], texts: list[Statement]) -> Source:
    """Return the steps that the user names."""
    parts = [part for file in files for part in file.parts()]
    used = []
    for step in steps:
        name, _, key = step.partition("#")
        matching = [part for part in parts if part[0].path == folder / name and (not key or part[0].key == key)]
        if not matching:
            raise UnreadableSource(f"there is no model in '{step}': name a file, or an object as file#key")
        used.append(matching[0])
    source = _from_parts([(used[-1][0], Role("model"), used[-1][2])], files, texts, {}, folder)
    kept = {part.path for part, _, _ in used}
    versions = {name: text for file in files if file.path in kept for name, text in file.versions.items()}
    imports = tuple(dict.fromkeys(item for file in files if file.path in kept for item in file.imports))
    statements = tuple(item for part, _, _ in used[:-1] for item in _statements(part)) + source.statements
    source = replace(source, versions=versions, imports=imports, statements=statements)
    return replace(source, files=tuple(part for part, _, _ in used))


def _only_model(parts: list[_Part], left_out: dict[str, str], folder: Path) -> SourceFile:
    """Return the model of a set; weights without a network, functions and transformers count only without another."""
    whole = [part for part, role, _ in parts if role.kind == "model" and part.kind not in WEIGHTS]
    for models in (whole, *([part for part, role, _ in parts if role.kind == kind] for kind in _FALLBACKS)):
        if len(models) == 1:
            left_out |= _weights_left_out(parts, models[0])
            return models[0]
        if models:
            advice = "adopt one of them alone, or name the steps of one in their order, with --step or `adopt.steps`"
            raise UnreadableSource(_several([_name(model, folder) for model in models], advice))
    reasons = list(left_out.values())[:3]
    detail = f": {'; '.join(reasons)}" if reasons else ""
    raise UnreadableSource(f"there is no fitted model among the files{detail}")


def _weights_left_out(parts: list[_Part], model: SourceFile) -> dict[str, str]:
    weights = [part for part, _, _ in parts if part.kind in WEIGHTS and part is not model]
    return {_name(part): f"'{_name(part)}' holds only the weights of a network" for part in weights}


def _several(names: list[str], advice: str) -> str:
    listed = ", ".join(f"'{name}'" for name in names[:_MAX_NAMED])
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"there are {len(names)} models, {listed}{more}: {advice}"


def _width_of(model: SourceFile, files: list[OpenedFile]) -> int | None:
    """Return how many columns a model takes, as its object or its file says it; None if neither does."""
    if model.stored is not None:
        return width_in(model.stored)
    statements = [item for file in files if file.path == model.path for item in file.statements]
    return next((item.value for item in statements if item.subject == "width"), None)


def _chain(
    model: SourceFile, width: int | None, transformers: list[SourceFile], left_out: dict[str, str]
) -> list[SourceFile]:
    """Return the transformers whose columns fit the model, in their order; the others are left out with the widths.

    Raises:
        UnreadableSource: if they fit in several orders.
    """
    chains = _chains(width, transformers)
    longest = max(map(len, chains))
    chain, *others = [chain for chain in chains if len(chain) == longest]
    if others:
        names = " and ".join(f"'{_name(part)}'" for part in transformers if any(part in other for other in chains))
        raise UnreadableSource(
            f"{names} fit before '{_name(model)}', and their bytes do not say which of them the rows pass through, and "
            f"in which order: name the steps in their order, with --step or `adopt.steps`"
        )
    for part in transformers:
        if part in chain:
            continue
        gives, takes = _gives(part), f"takes {width}" if width is not None else "does not say how many it takes"
        says = f"gives {gives} columns" if gives is not None else "does not say how many columns it gives"
        left_out[_name(part)] = f"'{_name(part)}' {says}, and the model {takes}: name it as a step if it belongs to it"
    return chain


def _chains(width: int | None, transformers: list[SourceFile]) -> list[list[SourceFile]]:
    """Return all sequences of transformers: each gives what the next one takes, and the last one gives a width."""
    chains: list[list[SourceFile]] = [[]]
    for part in transformers[:_MAX_TRANSFORMERS]:
        if width is None or _gives(part) != width:
            continue
        rest = [other for other in transformers if other is not part]
        taken = width_in(part.stored) if part.stored else None
        chains += [[*chain, part] for chain in _chains(taken, rest)]
    return chains


def _gives(part: SourceFile) -> int | None:
    return width_out(part.stored) if part.stored else None


def _statements(part: SourceFile) -> list[Statement]:
    """Return what a fitted object says of its columns and classes."""
    if part.stored is None:
        return []
    place, statements = _name(part), []
    if names := feature_names(part.stored):
        statements.append(Statement("columns", names, "bytes", place))
    if (width := width_in(part.stored)) is not None:
        statements.append(Statement("width", width, "bytes", place))
    if labels := class_labels(part.stored):
        statements.append(Statement("labels", labels, "bytes", place))
    return statements


def _side_statements(part: _Part) -> list[Statement]:
    """Return what lists of columns, label maps and label encoders say."""
    file, role, value = part
    if isinstance(value, int | float) and "thresh" in str(file.key).lower():
        return [Statement("threshold", value, "bytes", _name(file))]
    if role.kind == "columns":
        return [Statement("columns", column_names(value) or [], "bytes", _name(file))]
    if role.kind == "labels":
        return [Statement("labels", value, "bytes", _name(file))]
    if role.kind == "label_encoder" and file.stored is not None:
        return [Statement("labels", class_labels(file.stored), "bytes", _name(file))]
    return []


def _texts(folder: Path) -> list[Statement]:
    statements = []
    for path in source_files(folder):
        if path.stat().st_size <= 5 << 20 and path.suffix.lower() not in (".pkl", ".joblib", ".onnx"):
            statements += statements_of_text(path, decoded(path.read_bytes()))
    return statements


def _complete(source: Source, folder: Path | None = None) -> Source:
    """Check that a script or notebook, which is a source of its own, can be asked; and that weights have a class."""
    for file in source.files:
        if file.kind in WEIGHTS and not (folder and network_classes(folder)):
            raise UnreadableSource(
                f"'{file.path.name}' holds the weights of a network without its class: hand over the folder with the "
                f"script that defines it, or the network, exported with 'torch.export.save'"
            )
        if file.kind in ("notebook", "python"):
            text = file.path.read_text(encoding="utf-8", errors="replace")
            code = notebook_code(text) if file.kind == "notebook" else text
            if "def predict" not in code and file.kind == "python":
                raise UnreadableSource(f"'{file.path.name}' has no function 'predict': hand over the fitted model")
    return source


def _advice(opened: OpenedFile, role: Role) -> str:
    advice = role.advice or {
        "columns": "holds a list of names and not a model: hand over the folder with the model",
        "labels": "holds labels and not a model: hand over the folder with the model",
        "label_encoder": "encodes labels and is not a model: hand over the folder with the model",
    }.get(role.kind, "holds no fitted model: hand over the fitted model")
    return advice if advice.startswith("'") else f"'{opened.path.name}' {advice}"


def _name(part: SourceFile, folder: Path | None = None) -> str:
    """Return the name of a file, with the place of the object in it; from a folder, its path."""
    name = part.path.relative_to(folder).as_posix() if folder else part.path.name
    return name + (f"#{part.key}" if part.key else "")
