"""Prometheus' own forms: strings of its query language, and rules."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Rule = Mapping[str, Any]

#: Strings, windows of time, and Grafana's variables: all that may look like something else.
_VALUE = re.compile(r'"(?:\\.|[^"\\])*"|\[[^\]]*\]|\$\{[^}]*\}')
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}")
_CLAUSE = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


def quoted(text: str) -> str:
    """A string as the query language writes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def literal(text: str) -> str:
    """A text as a template of an alert, of which nothing is taken for a directive."""
    return text.replace("{{", '{{ "{{" }}')


def record(name: str, expression: str, **labels: str) -> Rule:
    """A recording rule."""
    return {"record": name, "expr": expression, "labels": labels}


@dataclass(frozen=True)
class Query:
    """What an expression speaks of.

    Attributes:
        metrics: Metrics, and the labels by which each is selected.
        labels: Labels by which series are grouped and matched.
    """

    metrics: Mapping[str, frozenset[str]]
    labels: frozenset[str]


def query(expression: str) -> Query:
    """Read an expression, of rules or of a dashboard, as far as that: metrics are told by ``model_`` or a colon."""
    rest = _VALUE.sub("", expression)
    metrics: dict[str, frozenset[str]] = {}
    for name, matchers in _SELECTOR.findall(rest):
        metrics[name] = metrics.get(name, frozenset()) | set(re.findall(r"(\w+)\s*(?==|!)", matchers))
    rest = _SELECTOR.sub("", rest)
    labels = frozenset(label for clause in _CLAUSE.findall(rest) for label in re.findall(r"\w+", clause))
    bare = re.findall(r"\bmodel_[\w:]+|\b\w+:[\w:]+", _CLAUSE.sub("", rest))
    return Query({name: frozenset() for name in bare} | metrics, labels)
