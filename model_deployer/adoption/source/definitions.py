"""Find the classes that a pickle needs in the scripts and notebooks next to it, by reading them as text."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from model_deployer.adoption.source.app_text import notebook_code
from model_deployer.adoption.source_files import source_files

#: A longer script is not read.
_MAX_BYTES = 5 << 20


@dataclass(frozen=True)
class Definition:
    """A script that defines classes or functions which a pickle names.

    Attributes:
        module: The module that the pickle names, such as ``__main__``.
        path: The script or notebook.
        lines: The line of each name; for a notebook, the line within all of its code.
        code: The imports, classes, functions and constants of the script, without anything else that it does.
    """

    module: str
    path: Path
    lines: dict[str, int]
    code: str

    @property
    def script(self) -> dict[str, str]:
        """The script in the form that a cell takes."""
        return {"module": self.module, "path": str(self.path), "code": self.code}


def find_definitions(folder: Path, imports: Iterable[tuple[str, str]]) -> list[Definition]:
    """Return the scripts of a folder that define some classes or functions, at most one for each.

    Args:
        folder: The folder with the scripts.
        imports: The module and the name of each; the module is ``__main__``, or one that may not be installed.
    """
    missing: dict[str, set[str]] = {}
    for module, name in imports:
        missing.setdefault(module, set()).add(name)
    definitions = []
    for path, code in _scripts(folder):
        for module, names in missing.items():
            if names and (definition := _definition(module, path, code, names)):
                names.difference_update(definition.lines)
                definitions.append(definition)
    return definitions


def network_classes(folder: Path) -> list[tuple[str, str]]:
    """Return the classes of networks of torch in the scripts of a folder, each with the module ``__main__``."""
    classes = []
    for _, code in _scripts(folder):
        try:
            nodes = ast.parse(code).body
        except (SyntaxError, ValueError, RecursionError):
            continue
        defined = [node for node in nodes if isinstance(node, ast.ClassDef)]
        classes += [node.name for node in defined if any(ast.unparse(base).endswith("Module") for base in node.bases)]
    return [("__main__", name) for name in dict.fromkeys(classes)]


def _scripts(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in source_files(folder):
        if path.suffix not in (".py", ".ipynb") or path.stat().st_size > _MAX_BYTES:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        yield path, text if path.suffix == ".py" else notebook_code(text)


def _definition(module: str, path: Path, code: str, names: set[str]) -> Definition | None:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError):
        return None
    defining = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    lines = {node.name: node.lineno for node in tree.body if isinstance(node, defining) and node.name in names}
    if not lines:
        return None
    tree.body = [node for node in tree.body if isinstance(node, defining | ast.Import | ast.ImportFrom | _Constant)]
    kept = [node for node in tree.body if not isinstance(node, _Constant) or _is_literal(node)]
    return Definition(module, path, lines, ast.unparse(ast.Module(kept, type_ignores=[])))


_Constant = ast.Assign | ast.AnnAssign


def _is_literal(node: ast.Assign | ast.AnnAssign) -> bool:
    try:
        return node.value is not None and ast.literal_eval(node.value) is not NotImplemented
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
