"""The steps of a source as one stored object, for the writers of graphs."""

from collections.abc import Sequence

from model_deployer.adoption.graph.trees.booster_files import read_booster_file
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.source.source import Source, SourceFile
from model_deployer.adoption.stored_object import StoredObject


def stored_model(source: Source) -> StoredObject:
    """Return the model of a source with the steps before it, as a pipeline if there are any.

    Raises:
        UnsupportedModel: if a step has a format without a graph writer.
    """
    steps = [_stored(file) for file in source.files]
    return steps[0] if len(steps) == 1 else _pipeline(steps)


def stored_steps(source: Source) -> StoredObject:
    """Return the steps before the model of a source, as a pipeline.

    Raises:
        UnsupportedModel: if a step has a format without a graph writer.
    """
    return _pipeline([_stored(file) for file in source.files[:-1]])


def source_columns(source: Source) -> list[str] | None:
    """Return the columns that the files of a source name and that fit its first step; None if there are none."""
    first = source.files[0].path.name
    widths = {item.value for item in source.about("width") if item.place.partition("#")[0] == first}
    names = [item.value for item in source.about("columns") if item.origin == "bytes"]
    return next((list(item) for item in names if not widths or len(item) in widths), None)


def _pipeline(steps: Sequence[StoredObject]) -> StoredObject:
    named = [(f"step{number}", step) for number, step in enumerate(steps)]
    return StoredObject("sklearn.pipeline", "Pipeline", state={"steps": named})


def _stored(file: SourceFile) -> StoredObject:
    if file.stored is not None:
        return file.stored
    booster = read_booster_file(file.path.read_bytes()) if file.path.is_file() else None
    if booster is not None:
        return booster
    raise UnsupportedModel(f"there is no graph writer for the format '{file.kind}'")
