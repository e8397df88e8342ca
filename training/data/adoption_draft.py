"""Write the first model.yaml for a model that was trained elsewhere, to be completed by its owner."""

from collections.abc import Iterator
from dataclasses import dataclass

from model_deployer.adoption.interface import Interface, SourceField
from model_deployer.training.data.spec_draft import identity, scalar

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


@dataclass(frozen=True)
class DraftedSource:
    """What a draft says about a source.

    Attributes:
        path: The file or folder, from the folder of model.yaml.
        about: What it is, in a few words.
        digest: The digest of its files.
        is_trusted: Whether the user has consented to run it.
        interface: Its inputs and its output; None if they are not known before it runs.
    """

    path: str
    about: str
    digest: str
    is_trusted: bool
    interface: Interface | None


def draft_adoption(name: str, source: DraftedSource, table: str | None, target: str | None) -> str:
    """Return the text of a model.yaml.

    Args:
        name: The name of the model.
        source: The source.
        table: The path of the evaluation table, from the folder of model.yaml; None if it is not known yet.
        target: The column with the truth; None if it is not known yet.
    """
    return "".join([_HEAD, identity(name), *_adopt(source), *_data(table, target), *_features(source), _TAIL])


def _adopt(source: DraftedSource) -> Iterator[str]:
    yield f"adopt:\n  source: {scalar(source.path)}  # {source.about}\n"
    consent = "consent to run the source: it may hold programs"
    yield f"  {'' if source.is_trusted else '# '}trust: {source.digest}  # {consent}\n"
    interface = source.interface
    if interface is None or any(field.name == f"x{position}" for position, field in enumerate(interface.fields)):
        yield "  # columns: [...]  # the columns that the model reads, in its order: the source has no names\n"
    if interface is not None and interface.labels is not None and _are_codes(interface.labels):
        yield f"  # labels: [...]  # what the classes {', '.join(interface.labels)} are called in the table\n"
    yield "  # seen: true  # whether the model was trained on rows of the table\n"
    yield "  # serve: runner  # serve the source itself, in a process of its own, in place of a graph\n\n"


def _are_codes(labels: tuple[str, ...]) -> bool:
    return labels == tuple(map(str, range(len(labels))))


def _data(table: str | None, target: str | None) -> Iterator[str]:
    yield "data:\n"
    yield f"  path: {scalar(table)}  # relative to this file\n" if table else "  path: ?  # the evaluation table\n"
    yield f"  target: {scalar(target)}\n" if target else "  target: ?  # the column with the truth\n"


def _features(source: DraftedSource) -> Iterator[str]:
    if source.interface is None:
        return
    yield "\n# The fields that the model reads, and what callers have to know. The keys in the braces: description,\n"
    yield "# unit, missing, unknown, minimum, maximum, out_of_range, example.\n# features:\n"
    for field in source.interface.fields:
        yield f"#   {scalar(field.name)}: {{}}  # {_summary(field)}\n"


def _summary(field: SourceField) -> str:
    if field.is_free_text:
        return "free text"
    if field.kind == "text":
        return f"text, {len(field.categories)} categories" if field.categories is not None else "text"
    return "number" if field.kind == "number" else "not known: number or text"
