"""Write the first model.yaml for a model that was trained elsewhere, to be completed by its owner."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from model_deployer.adoption.graph.written_model import NO_COLUMNS
from model_deployer.adoption.interface import Interface, SourceField
from model_deployer.adoption.network.image_input import PIXELS_EXAMPLE
from model_deployer.adoption.read_source import ReadSource
from model_deployer.adoption.source_place import is_reference
from model_deployer.training.data.spec_draft import identity, model_name, scalar

_HEAD = """\
# A model that was trained elsewhere, and the table that evaluates it: rows whose truth is known.
# Lines that begin with '#' are comments. To use an option, remove the '#' and the space after it.

"""

_TAIL = """
# unit: The unit of the target, such as USD or minutes.

# gates:  # requirements; a model that fails one is not saved
#   better_than_linear: true
#   p99_ms: 5  # 99 of 100 single-row predictions take at most 5 ms

# limits:  # limits of one request to the served model
#   rows: 10000
#   timeout_seconds: 30
"""


def draft_of(  # noqa: PLR0913 (one argument per statement of the user)
    read: ReadSource,
    source: Path,
    folder: Path,
    *,
    name: str | None,
    table: Path | None,
    targets: Sequence[str],
    steps: Sequence[str] = (),
    is_trusted: bool,
) -> str:
    """Return the text of a model.yaml.

    Args:
        read: What the source says before it runs.
        source: The file or folder of the source.
        folder: The folder of the model.yaml; paths are relative to it.
        name: The name of the model; None for one that resembles that of the source.
        table: The evaluation table; None if it is not known yet.
        targets: The columns with the truth; empty if they are not known yet.
        steps: The files that the rows pass through, as the user names them.
        is_trusted: Whether the user has consented to run the source.
    """
    path = _relative(source, folder)
    return "".join(
        [
            _HEAD,
            identity(name or model_name(source.name)),
            *_adopt(read, path, steps, is_trusted),
            *_data(read, None if table is None else _relative(table, folder), targets),
            *_features(read),
            _TAIL,
        ]
    )


def _relative(path: Path, folder: Path) -> str:
    return (
        str(path) if "://" in str(path) or is_reference(str(path)) else Path(os.path.relpath(path, folder)).as_posix()
    )


def _adopt(read: ReadSource, path: str, steps: Sequence[str], is_trusted: bool) -> Iterator[str]:
    yield f"adopt:\n  source: {scalar(path)}  # {read.about}\n"
    if steps:
        yield f"  steps: [{', '.join(map(scalar, steps))}]\n"
    consent = "consent to run the source: its files may hold programs"
    if read.is_program:
        yield f"  {'' if is_trusted else '# '}trust: {read.digest}  # {consent}\n"
    if read.is_network:
        yield "  # outputs: logits  # or embedding: what its numbers mean, if the answers do not show it\n"
    interface = read.interface
    if interface is None or any(field.name == f"x{position}" for position, field in enumerate(interface.fields)):
        yield f"  # columns: [...]  # the columns that the model reads, in its order{_names(interface)}\n"
    if interface is not None and interface.labels is not None and _are_codes(interface.labels):
        yield f"  # labels: [...]  # what the classes {', '.join(interface.labels)} are called in the table\n"
    yield "  # seen: true  # whether the model was trained on rows of the table\n"
    if read.graph is None and not read.is_converted and read.reason != NO_COLUMNS:
        yield f"  serve: runner  # the source itself answers, in a process of its own: {read.reason}\n\n"
    else:
        yield "  # serve: runner  # serve the source itself, in a process of its own, in place of a graph\n\n"


def _names(interface: Interface | None) -> str:
    """Return when the columns have to be listed; a source without an interface may name them when it is loaded."""
    return ", if it turns out to have no names" if interface is None else ": the source has no names"


def _are_codes(labels: tuple[str, ...]) -> bool:
    return labels == tuple(map(str, range(len(labels))))


def _data(read: ReadSource, table: str | None, targets: Sequence[str]) -> Iterator[str]:
    yield "data:\n"
    if table:
        yield f"  path: {scalar(table)}  # relative to this file: rows to evaluate the model on\n"
    else:
        yield "  # path: table.csv  # rows to evaluate the model on\n"
    numbers = (read.interface.numbers if read.interface else None) or 1
    if len(targets) > 1:
        yield f"  targets: [{', '.join(map(scalar, targets))}]  # in the order of the model\n"
    elif targets:
        yield f"  target: {scalar(targets[0])}\n"
    elif numbers > 1:
        yield f"  # targets: [...]  # the names of the {numbers} numbers of an answer, in the order of the model\n"
    else:
        yield "  # target: y  # the column with the truth\n"


def _features(read: ReadSource) -> Iterator[str]:
    if read.interface is None:
        if read.is_network:
            yield "\n# For a network that takes images, or tensors of any size: the name is that of the column. Of an\n"
            yield "# image, the height is first; of a tensor, a free axis has its smallest and its largest size.\n"
            yield "# features:\n"
            yield f"#   photo: {{kind: image, size: [224, 224]{_pixels(read)}}}\n"
            yield "#   signal: {kind: tensor, shape: [[1, 500], 80]}\n"
        return
    if all(field.image is not None or field.dimensions for field in read.interface.fields):
        yield from _tensors(read)
        return
    yield "\n# The fields that the model reads, and what callers have to know. The keys in the braces: description,\n"
    yield "# unit, missing, unknown, minimum, maximum, out_of_range, example.\n# features:\n"
    for field in read.interface.fields:
        yield f"#   {scalar(field.name)}: {{}}  # {_summary(field)}\n"


def _tensors(read: ReadSource) -> Iterator[str]:
    """Yield how an image is described; a field without a description is a tensor, in nested lists."""
    assert read.interface is not None
    yield "\n# The network takes tensors, as nested lists. Describe those that are images.\n"
    yield "# features:\n"
    for field in read.interface.fields:
        sizes = "x".join(map(str, field.dimensions or field.image or ()))
        yield f"#   {scalar(field.name)}: {{kind: image{_pixels(read)}}}  # {sizes} for each row\n"


def _pixels(read: ReadSource) -> str:
    """Return the key with what becomes of the pixels; nothing if the source says it itself."""
    return "" if any(read.source.about("pixels")) else f", {PIXELS_EXAMPLE}"


def _summary(field: SourceField) -> str:
    if field.is_free_text:
        return "free text"
    if field.kind == "text":
        return f"text, {len(field.categories)} categories" if field.categories is not None else "text"
    if field.dimensions is not None:
        return f"a tensor of {'x'.join(map(str, field.dimensions))} numbers"
    if field.length is not None:
        return f"a list of {field.length} numbers"
    return "number" if field.kind == "number" else "not known: number or text"
