"""Jinja templates, all rendered by the same rules: an unknown name is an error, and blocks leave no blank lines."""

import re
from collections.abc import Callable
from typing import Any

from jinja2 import BaseLoader, Environment, StrictUndefined


def jinja_environment(loader: BaseLoader, finalize: Callable[[Any], str] | None = None) -> Environment:
    """Return an environment for templates of text that is not HTML; values are not escaped.

    Args:
        loader: Finds the templates.
        finalize: A function that every value passes through before it is printed.
    """
    return Environment(
        loader=loader,
        finalize=finalize,
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(environment: Environment, template: str, /, **values: Any) -> str:
    """Return the text of a template, without leading, trailing and repeated blank lines."""
    text = environment.get_template(template).render(**values)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
