"""Open a network in its cell: what its outputs mean, and its graph with the inputs and the output of an artifact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from model_deployer.adoption.cell.cell_error import CellError
from model_deployer.adoption.cell.source_rows import source_columns
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.graph.written_steps import WrittenSteps, write_steps
from model_deployer.adoption.interface import Interface, SourceField
from model_deployer.adoption.network.arrangement import Slot, StatedFields, arrange
from model_deployer.adoption.network.network import Network, Tensor, read_network
from model_deployer.adoption.network.output_meaning import Stated, read_answer
from model_deployer.adoption.network.prepared_input import join_steps, prepared_input
from model_deployer.adoption.network.sequence_input import within_vocabulary
from model_deployer.adoption.network.tensor_input import within_table
from model_deployer.adoption.network.wrapped_network import wrap_network
from model_deployer.adoption.read_source import ReadSource, SourceHints, with_steps
from model_deployer.adoption.source_cell import OpenCell
from model_deployer.adoption.stored_model import source_columns as stated_columns
from model_deployer.adoption.stored_model import stored_steps
from model_deployer.contract.errors import CheckFailed
from model_deployer.contract.features import Feature, Image, NumberSequence, Numeric, Text, Vector, sizes_of
from model_deployer.contract.features import Tensor as TensorFeature
from model_deployer.contract.source_runner import NetworkAnswer
from model_deployer.contract.tensor_batch import Graph, padded

#: The numbers of rows that a graph is tried with; one that is fixed to some number fails with another.
BATCHES = (1, 2, 17)

#: How much longer than the shortest one the sequences are that a graph is tried with.
_SAMPLE_LENGTHS = 6

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class OpenedNetwork:
    """A network that was loaded in its cell.

    Attributes:
        read: What the source says, with its graph, or with the reason why there is none.
        answer: How its tensors become an answer.
    """

    read: ReadSource
    answer: NetworkAnswer


def open_network(read: ReadSource, cell: OpenCell, hints: SourceHints) -> OpenedNetwork:
    """Return the graph of a network, and what its outputs mean.

    Args:
        read: What the source says before it runs.
        cell: The process that has loaded it.
        hints: What model.yaml says about it.

    Raises:
        CheckFailed: if the columns or the meaning of the outputs are not known, or the network answers no row.
        UsageError: if model.yaml contradicts the network.
    """
    if read.has_steps:
        hints = replace(hints, columns=hints.columns or stated_columns(read.source))
    steps = _steps(read, hints, passes_missing=False)
    network, reason = _graph(read, cell, hints, steps)
    if network is not None and network.takes_missing:
        steps = _steps(read, hints, passes_missing=True)
    try:
        slots = _slots(network, read.stated_fields(hints), reason, steps)
    except UnsupportedModel as error:
        raise CheckFailed(str(error) if reason is None else f"{error} (it has no graph: {reason})") from error
    fields = tuple(field for slot in slots for field in slot.fields)
    if steps is not None:
        read = with_steps(read, steps)
        fields = tuple(field.source_field for field in steps.fields)
    sequences = tuple(field.name for field in fields if field.sequence is not None)
    tensors = tuple(field.name for field in fields if field.dimensions is not None)
    sample = sample_rows(fields)
    counts = [len(fields)] if steps is not None else [len(slot.fields) for slot in slots]
    images = {slot.fields[0].name: slot.pixels for slot in slots if slot.pixels is not None}
    labels = None if network is None else network.labels
    pixels = {name: each.to_json() for name, each in images.items()}
    forms: dict[str, Any] = {"images": images} if images else {}
    request = {"fields": counts, "labels": list(labels or ()), "images": pixels}
    if network is not None and network.joined:
        forms |= {"joined": network.joined}
        request |= {"joined": {name: list(columns) for name, columns in network.joined.items()}}
    if sequences:
        forms |= {"sequences": sequences, "fills": tuple(slot.fill for slot in slots)}
        request |= {"sequences": list(sequences), "fills": [slot.fill for slot in slots]}
    if tensors:
        forms |= {"tensors": tensors}
        request |= {"tensors": list(tensors)}
    raw_answers = _raw_answers(cell, fields, sample, request)
    stated = Stated(labels, hints.labels, hints.outputs, bool(hints.targets), hints.classes)
    answered = read_answer(raw_answers, stated, counts)
    answer = answered.answer.model_copy(update=forms)
    interface = Interface(fields, answered.labels, numbers=answered.width)
    read = replace(read, interface=interface, reason=reason)
    if network is None:
        return OpenedNetwork(read, answer)
    try:
        width = answered.width if answered.labels is None else len(answered.labels)
        graph = wrap_network(network, slots, answer, width)
        graph = graph if steps is None else join_steps(steps, graph)
        _try_batches(graph, sample)
    except UnsupportedModel as error:
        return OpenedNetwork(replace(read, reason=str(error)), answer)
    return OpenedNetwork(replace(read, graph=graph), answer)


def _steps(read: ReadSource, hints: SourceHints, *, passes_missing: bool) -> WrittenSteps | None:
    """Return the steps before a network; None if there are none, or one of them has no graph writer."""
    if not read.has_steps or read.reason is not None:
        return None
    return write_steps(stored_steps(read.source), hints.columns, passes_missing=passes_missing)


def _graph(
    read: ReadSource, cell: OpenCell, hints: SourceHints, steps: WrittenSteps | None
) -> tuple[Network | None, str | None]:
    """Return the network as ONNX, or the reason why there is none."""
    if read.has_steps and steps is None:
        return None, read.reason
    step = cell.steps[-1]
    path = cell.files / step.path
    sizes = _sizes(hints) if steps is None else {"width": steps.width}
    try:
        if step.kind == "onnx":
            return read_network(path.read_bytes(), path.parent), None
        keys = {"key": step.key} if step.key else {}
        network = read_network(cell.process.convert(step.kind, path, **sizes, **keys))
        return in_order(network, cell.process.description["names"] or ()), None
    except (CellError, UnsupportedModel) as reason:
        return None, str(reason)


def in_order(network: Network, names: Sequence[str]) -> Network:
    """Return a network with its inputs in the order of its source: tf2onnx may have another one.

    Args:
        network: The network.
        names: The inputs of the source; others than those of the network, or none, change nothing.
    """
    if sorted(names) != sorted(tensor.name for tensor in network.inputs):
        return network
    return replace(network, inputs=tuple(sorted(network.inputs, key=lambda tensor: names.index(tensor.name))))


def _sizes(hints: SourceHints) -> dict[str, Any]:
    """Return what model.yaml says of the sizes of an input, for a network that does not show them."""
    if hints.sequences:
        return {"sequence": True}
    if hints.tensors and all(each.dimensions is not None for each in hints.tensors.values()):
        names = hints.columns or list(hints.tensors)
        return {"shapes": [sizes_of(hints.tensors[name].dimensions or ()) for name in names if name in hints.tensors]}
    if not hints.images:
        return {"width": len(hints.columns)} if hints.columns else {}
    image = next(iter(hints.images.values()))
    if len(hints.images) > 1 or image.size is None:
        return {}
    return {"image": [*image.size, image.channels or 0], "layout": image.layout or "channels_first"}


def _slots(
    network: Network | None, stated: StatedFields, reason: str | None, steps: WrittenSteps | None
) -> tuple[Slot, ...]:
    if steps is not None:
        return () if network is None else (prepared_input(network, steps.width),)
    if network is not None:
        slots = arrange(network.inputs, stated, takes_missing=network.takes_missing)
        return tuple(_with_known_tokens(slot, network) for slot in slots)
    if stated.tensors and all(each.dimensions is not None for each in stated.tensors.values()):
        inputs = [
            Tensor(name, onnx.TensorProto.FLOAT, (None,) * len(each.dimensions or ()))
            for name, each in stated.tensors.items()
        ]
        return arrange(inputs, stated)
    if stated.sequences:
        raise CheckFailed(f"the network takes sequences, and cannot become a graph: {reason}")
    if len(stated.images) == 1:
        (image,) = stated.images.values()
        layout = image.layout or "channels_first"
        height, width = image.size or (None, None)
        sizes = (image.channels, height, width) if layout == "channels_first" else (height, width, image.channels)
        return arrange([Tensor("input", onnx.TensorProto.FLOAT, sizes)], stated)
    if stated.columns is None:
        raise CheckFailed(
            f"the network does not say which columns it reads; list them under `adopt.columns` ({reason})"
        )
    return arrange([Tensor("input", onnx.TensorProto.FLOAT, (len(stated.columns),))], stated)


def _with_known_tokens(slot: Slot, network: Network) -> Slot:
    fields = (within_table(field, slot.tensor, network) for field in slot.fields)
    return replace(slot, fields=tuple(within_vocabulary(field, slot.tensor, network) for field in fields))


def sample_rows(fields: Sequence[SourceField]) -> dict[str, NDArray[Any]]:
    """Return rows that show what the outputs of a network mean: numbers near 0, categories, and noise as images.

    They are float64 or texts, [rows, width] each, of a tensor [rows, *shape], and of an image uint8 [rows, height,
    width, channels].
    """
    random, rows = np.random.default_rng(0), max(BATCHES)
    columns: dict[str, NDArray[Any]] = {}
    for field in fields:
        shape = (rows, field.length or 1)
        if field.image is not None:
            columns[field.name] = random.integers(0, 256, (rows, *field.image), np.uint8)
        elif field.categories:
            columns[field.name] = _sample_categories(field, rows)
        elif field.kind == "text":
            columns[field.name] = np.full(shape, "", object)
        elif field.dimensions is not None:
            columns[field.name] = _sample_tensors(field, sizes_of(field.dimensions), random)
        elif field.sequence is not None:
            columns[field.name] = _sample_sequences(field, field.sequence, random)
        else:
            numbers = np.zeros(shape) if field.is_whole else random.normal(size=shape)
            columns[field.name] = np.clip(numbers, *_range(field))
    return columns


def _sample_categories(field: SourceField, rows: int) -> NDArray[Any]:
    """Return the categories of a field one after the other, [rows, 1]."""
    values = [field.categories[row % len(field.categories)] for row in range(rows)] if field.categories else []
    return np.array(values, object if field.kind == "text" else np.float64)[:, None]


def _range(field: SourceField) -> tuple[float, float]:
    return (
        -np.inf if field.minimum is None else field.minimum,
        np.inf if field.maximum is None else field.maximum,
    )


def _sample_sequences(field: SourceField, lengths: tuple[int, int], random: np.random.Generator) -> NDArray[np.float64]:
    """Return short sequences of different lengths, with NaN after their ends."""
    rows, low = max(BATCHES), lengths[0]
    high = min(lengths[1], low + _SAMPLE_LENGTHS)
    numbers = random.normal(size=(rows, high))
    if field.is_whole:
        numbers = random.integers(int(field.minimum or 0), int(field.maximum or 0) + 1, (rows, high)).astype(np.float64)
    numbers[np.arange(high) >= random.integers(low, high + 1, size=(rows, 1))] = np.nan
    return numbers


def _sample_tensors(
    field: SourceField, sizes: Sequence[tuple[int, int]], random: np.random.Generator
) -> NDArray[np.float64]:
    """Return small tensors of different shapes, with NaN after their ends."""
    low, shapes = int(field.minimum or 0), []
    for _ in range(max(BATCHES)):
        shapes.append([random.integers(first, min(last, first + _SAMPLE_LENGTHS) + 1) for first, last in sizes])
    if field.is_whole:
        high = low + 1 if field.maximum is None else int(field.maximum)
        numbers = [random.integers(low, high + 1, shape).astype(np.float64) for shape in shapes]
    else:
        numbers = [random.normal(size=shape) for shape in shapes]
    return padded(numbers, [1] * len(sizes))


def _raw_answers(
    cell: OpenCell, fields: Sequence[SourceField], sample: Arrays, network: Mapping[str, Any]
) -> dict[str, NDArray[Any]]:
    """Return the tensors of a network for some rows, by name."""
    columns = source_columns([_feature(field) for field in fields], sample)
    tensors, refused = cell.process.predict(columns, network=dict(network))
    if len(refused) == max(BATCHES):
        raise CheckFailed(f"the network answers no row: {next(iter(refused.values()))}")
    return dict(tensors)


def _feature(field: SourceField) -> Feature:
    if field.image is not None:
        height, width, channels = field.image
        return Image.model_validate({"name": field.name, "height": height, "width": width, "channels": channels})
    if field.dimensions is not None:
        return TensorFeature(name=field.name, dimensions=field.dimensions)
    if field.length is not None:
        return Vector(name=field.name, length=field.length)
    if field.sequence is not None:
        return NumberSequence(name=field.name, longest=field.sequence[1])
    return Text(name=field.name) if field.kind == "text" else Numeric(name=field.name)


def _try_batches(graph: onnx.ModelProto, sample: Arrays) -> None:
    """Check that a graph answers any number of rows, each row as on its own."""
    rows, sizes = 0, []
    try:
        session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
        (name, *_), run = [value.name for value in session.get_outputs()], Graph(session)
        for rows in BATCHES:
            sizes.append(len(run({field: column[:rows] for field, column in sample.items()})[name]))
    except Exception as error:  # onnxruntime has no class of errors of its own for graphs
        line = str(error).strip().splitlines()[0].rpartition("Status Message: ")[2][:160]
        count = "1 row" if rows == 1 else f"{rows} rows" if rows else "any row"
        raise UnsupportedModel(f"ONNX Runtime does not answer {count} with its graph: {line}") from error
    if tuple(sizes) != BATCHES:
        raise UnsupportedModel("its graph is fixed to one row: export it with a free first dimension")
