"""Texts and names use the standard terms of the field: what is on these lists does not come back."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT

#: Words and phrases that are not written, as regular expressions, with what to write instead.
DENIED_WORDS = {
    r"\banew\b": "again, from scratch",
    r"\bbeside\b": "next to, in addition to",
    r"\b(by|from|of) which\b": "turn the sentence around: subject first",
    r"\bgone on with\b": "resumed",
    r"(?<!there )(?<!There )\b(are|is|was|were) no (?!longer|more|other|such)": "is not a",
    r"\bin silence\b": "silently",
    r"\bit said\b": "name what was printed",
    r"(?<![.\"'])\blearnt\b(?![:=\"'])": "learned, trained, fitted",
    r"\bmend(ed|ing|s)?\b": "fix",
    r"\b(nobody|somebody|whoever)\b": "name the reader: the caller, the operator, the client",
    r"\botherwise than\b": "differs from",
    r"\bPATIENCE\b": "a name that ends in _SECONDS, or says what is counted",
    r"\bso many\b": "that number of",
    r"\bstands? in\b": "is in",
    r"\btold\b": "name what was printed or passed",
    r"\bwherever\b": "in every place where",
}

#: Names that no variable or parameter has: they do not say what they hold.
DENIED_VARIABLES = {"asked", "found", "given", "said", "told"}

FOLDERS = ("model_deployer", "training", "tests", "benchmarks", "examples", "docs", ".github")
SUFFIXES = {".py", ".md", ".j2", ".sh", ".yaml", ".yml", ".proto", ".toml", ".html", ".css", ".js"}

#: These lists, and models that were stored once and never change.
EXCLUDED = ("tests/test_words.py", "tests/contract/artifacts/format_", "model_deployer/training/")


def texts() -> Iterator[Path]:
    """Every text that people write here, except lists of versions and measured results."""
    yield from (path for path in ROOT.iterdir() if path.suffix in SUFFIXES or path.name == "Makefile")
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in SUFFIXES and path.is_file() and not name.startswith(EXCLUDED):
                yield path


def matches(pattern: str) -> Iterator[str]:
    for path in texts():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if re.search(pattern, line, re.IGNORECASE if pattern.islower() else re.NOFLAG):
                yield f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


@pytest.mark.parametrize("pattern", DENIED_WORDS)
def test_denied_words(pattern: str) -> None:
    places = list(matches(pattern))
    assert not places, f"write instead: {DENIED_WORDS[pattern]}"


def variables(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the names that a file assigns to or takes as parameters, with their lines.

    Annotated fields of classes are left out: the fields of models are keys of JSON documents, and keep their names.
    """
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    statements = [statement for node in nodes if isinstance(node, ast.ClassDef) for statement in node.body]
    fields = {statement.target for statement in statements if isinstance(statement, ast.AnnAssign)}
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node not in fields:
            yield node.id, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno


def test_denied_variables() -> None:
    places = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in texts()
        if path.suffix == ".py"
        for name, line in variables(path)
        if name in DENIED_VARIABLES
    ]
    assert not places, "name what the variable holds"
