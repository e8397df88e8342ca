"""Find the model in what a team hands over: a file, a folder of a known format, or a set of files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from model_deployer.adoption.source.app_text import notebook_code, statements_of_text
from model_deployer.adoption.source.definitions import network_classes
from model_deployer.adoption.source.file_format import MODEL_FORMATS, WEIGHTS
from model_deployer.adoption.source.folder_format import folder_source, source_of_file
from model_deployer.adoption.source.opened_file import OpenedFile, open_file
from model_deployer.adoption.source.role import Role
from model_deployer.adoption.source.source import Source, SourceFile
from model_deployer.adoption.source.statement import Statement
from model_deployer.adoption.source.unreadable_source import UnreadableSource
from model_deployer.adoption.source.width import class_labels, feature_names, width_in, width_out
from model_deployer.adoption.source_files import source_files

#: A folder with more files is not a set of files that belong together.
MAX_FILES = 5_000

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
        return _complete(_with_name(_one_file(path), steps))
    if not steps and (source := folder_source(path)):
        return _complete(replace(source, statements=source.statements + tuple(_texts(path))), path)
    return _complete(_set_of_files(path, steps), path)


def _with_name(source: Source, steps: Sequence[str]) -> Source:
    """Return a notebook or script with the name of the object that the user chooses: ``notebook.ipynb#model``."""
    name = steps[0].partition("#")[2] if steps else ""
    if not name or source.kind not in ("notebook", "python"):
        return source
    return replace(source, files=(replace(source.files[0], key=name),))


def _one_file(path: Path) -> Source:
    opened = open_file(path)
    parts = opened.parts()
    if not any(role.kind in ("model", "function", "transformer") for _, role, _ in parts):
        raise UnreadableSource(_advice(opened, parts[0][1]))
    if opened.role.kind != "bundle":
        source = source_of_file(opened)
        return replace(source, statements=tuple(_statements(source.model)) + source.statements)
    return _from_parts(parts, [opened], [], {})


def _set_of_files(folder: Path, steps: Sequence[str]) -> Source:
    """Find the steps of a model among the files of a folder, by their roles and their widths."""
    paths = list(source_files(folder))
    if len(paths) > MAX_FILES:
        raise UnreadableSource(f"the folder has more than {MAX_FILES:,} files: hand over those of the model")
    opened, left_out = [], {}
    for path in paths:
        try:
            opened.append(open_file(path))
        except UnreadableSource as error:
            left_out[path.relative_to(folder).as_posix()] = str(error)
    texts = list(_texts(folder))
    files = [file for file in opened if file.format.name in MODEL_FORMATS - {"python", "notebook"}]
    if steps:
        return _chosen(folder, steps, files, texts)
    parts = [part for file in files for part in file.parts()]
    left_out |= {file.path.relative_to(folder).as_posix(): file.role.advice for file in opened if file.role.advice}
    return _from_parts(parts, files, texts, left_out)


def _from_parts(
    parts: list[_Part], files: list[OpenedFile], texts: list[Statement], left_out: dict[str, str]
) -> Source:
    model = _only_model(parts, left_out)
    before = [part for part in parts if part[1].kind == "transformer"]
    chain = [] if model.stored is None else _chain(model, [part for part, _, _ in before], left_out)
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
    source = _from_parts([*used[:-1], (used[-1][0], Role("model"), used[-1][2])], files, texts, {})
    return replace(source, files=tuple(part for part, _, _ in used))


def _only_model(parts: list[_Part], left_out: dict[str, str]) -> SourceFile:
    """Return the model of a set; functions count if there is no other."""
    for kinds in (("model",), ("function",), ("transformer",)):
        models = [part for part, role, _ in parts if role.kind in kinds]
        if len(models) == 1:
            return models[0]
        if models:
            names = ", ".join(f"'{_name(model)}'" for model in models[:5])
            raise UnreadableSource(f"there are {len(models)} models, {names}: name the one to adopt")
    reasons = list(left_out.values())[:3]
    detail = f": {'; '.join(reasons)}" if reasons else ""
    raise UnreadableSource(f"there is no fitted model among the files{detail}")


def _chain(model: SourceFile, transformers: list[SourceFile], left_out: dict[str, str]) -> list[SourceFile]:
    """Return the transformers whose columns fit the model, in their order; the others are left out with the widths."""
    chain: list[SourceFile] = []
    wanted = taken = width_in(model.stored) if model.stored else None
    rest = list(transformers)
    while fitting := next((part for part in rest if wanted is not None and _gives(part) == wanted), None):
        chain.insert(0, fitting)
        rest.remove(fitting)
        wanted = width_in(fitting.stored) if fitting.stored else None
    for part in rest:
        width = _gives(part)
        gives = f"gives {width} columns" if width is not None else "does not say how many columns it gives"
        takes = f"takes {taken}" if taken is not None else "does not say how many it takes"
        left_out[_name(part)] = f"'{_name(part)}' {gives}, and the model {takes}: name it as a step if it belongs to it"
    return chain


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
        return [Statement("columns", [str(item) for item in value], "bytes", _name(file))]
    if role.kind == "labels":
        return [Statement("labels", value, "bytes", _name(file))]
    if role.kind == "label_encoder" and file.stored is not None:
        return [Statement("labels", class_labels(file.stored), "bytes", _name(file))]
    return []


def _texts(folder: Path) -> list[Statement]:
    statements = []
    for path in source_files(folder):
        if path.stat().st_size <= 5 << 20 and path.suffix.lower() not in (".pkl", ".joblib", ".onnx"):
            text = path.read_text(encoding="utf-8", errors="replace")
            statements += statements_of_text(path, text)
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


def _name(part: SourceFile) -> str:
    return part.path.name + (f"#{part.key}" if part.key else "")
