"""The formats of Prometheus: strings and names of its query language, and rules."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Rule = Mapping[str, Any]

#: Strings, time windows and Grafana's variables, which may contain text that looks like a metric or a label.
_VALUE = re.compile(r'"(?:\\.|[^"\\])*"|\[[^\]]*\]|\$\{[^}]*\}')
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}")
_CLAUSE = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


def quoted(text: str) -> str:
    """Return a string as a literal of the query language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def literal(text: str) -> str:
    """Return a text for the template of an annotation, with braces escaped."""
    return text.replace("{{", '{{ "{{" }}')


def record(name: str, expression: str, **labels: str) -> Rule:
    """Return a recording rule."""
    return {"record": name, "expr": expression, "labels": labels}


@dataclass(frozen=True)
class Query:
    """The names in an expression.

    Attributes:
        metrics: The metrics, each with the labels that select its series.
        labels: The labels that group or match series.
    """

    metrics: Mapping[str, frozenset[str]]
    labels: frozenset[str]


def query(expression: str) -> Query:
    """Return the names in an expression; a metric without a selector is found by ``model_`` or a colon in its name."""
    rest = _VALUE.sub("", expression)
    metrics: dict[str, frozenset[str]] = {}
    for name, matchers in _SELECTOR.findall(rest):
        metrics[name] = metrics.get(name, frozenset()) | set(re.findall(r"(\w+)\s*(?==|!)", matchers))
    rest = _SELECTOR.sub("", rest)
    labels = frozenset(label for clause in _CLAUSE.findall(rest) for label in re.findall(r"\w+", clause))
    bare = re.findall(r"\bmodel_[\w:]+|\b\w+:[\w:]+", _CLAUSE.sub("", rest))
    return Query({name: frozenset() for name in bare} | metrics, labels)
