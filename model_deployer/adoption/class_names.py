"""What a label encoder or a label map next to a model calls the classes of the model."""

import re
from collections.abc import Sequence
from typing import Any

from model_deployer.adoption.interface import label_text
from model_deployer.adoption.source.source import Source
from model_deployer.adoption.source.statement import Statement

#: The words in the names of files and keys that speak of the target alone. ``label_encoder_gender`` encodes an input.
_OF_THE_TARGET = {
    *("class", "classes", "dict", "enc", "encoder", "id2label", "label", "labelencoder", "labels", "lb", "le", "map"),
    *("mapping", "names", "output", "target", "targets", "y"),
}


def class_names(source: Source, count: int) -> list[str] | None:
    """Return the names of the classes of a model, in its order.

    A folder often has encoders of inputs, too, with as many labels. So only a file or key counts that is named after
    the target, and only if no other one says otherwise. Texts of programs do not count.

    Args:
        source: The source.
        count: The number of classes.

    Returns:
        The names; None if they are not known.
    """
    names = [_names(item.value, count) for item in source.about("labels") if _is_of_the_target(item)]
    different = {tuple(item) for item in names if item is not None}
    return list(different.pop()) if len(different) == 1 else None


def _is_of_the_target(statement: Statement) -> bool:
    if statement.place.endswith(", 'id2label'"):  # the configuration of a network of Hugging Face
        return True
    if statement.origin != "bytes":
        return False
    file, _, key = statement.place.partition("#")
    words = re.findall(r"[a-z0-9]+", re.sub("([a-z])([A-Z])", r"\1 \2", key or file.rpartition(".")[0]).lower())
    return bool(words) and set(words) <= _OF_THE_TARGET


def _names(value: Any, count: int) -> list[str] | None:
    """Return the names in a list, or in a dict from the code to the name or the other way round."""
    if isinstance(value, dict):
        codes = {key: name for name, key in value.items()} if all(map(_is_code, value.values())) else value
        named = {str(code): name for code, name in codes.items()}
        value = [named.get(str(code)) for code in range(len(named))]
    is_list = isinstance(value, Sequence) and len(value) == count and None not in value
    return [label_text(name) for name in value] if is_list else None


def _is_code(value: Any) -> bool:
    return label_text(value).isdigit() and not isinstance(value, str)
