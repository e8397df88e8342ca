"""YAML in the layout that people write by hand."""

from collections.abc import Mapping
from typing import Any

import yaml


def to_yaml(content: Mapping[str, Any], comment: str = "") -> str:
    """Return a document as YAML, below a comment of any number of lines."""
    comment_lines = "".join(f"# {line}".rstrip() + "\n" for line in comment.splitlines())
    return comment_lines + yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


class _Dumper(yaml.SafeDumper):
    """A dumper that indents lists and writes text of several lines as a block."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent lists, too."""
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        """Write a value that occurs twice in full both times, without an anchor."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text and text.isascii() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
