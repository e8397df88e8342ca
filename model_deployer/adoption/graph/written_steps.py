"""Write the graph of the steps before a network."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from model_deployer.adoption.graph.frame import Frame, refuse_missing
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import write_transformer
from model_deployer.adoption.graph.written_model import Field, field_names, form_checked
from model_deployer.adoption.stored_object import StoredObject

#: The output of the graph, which no column is called.
PREPARED = "::prepared"


@dataclass(frozen=True)
class WrittenSteps:
    """The graph of steps.

    Attributes:
        onnx: The graph. Its inputs are the raw fields that the steps read, double or string [rows, 1]; its output is
            :data:`PREPARED`, double [rows, width].
        width: The number of columns that the steps give.
        fields: The raw fields in the order of the source.
    """

    onnx: onnx.ModelProto
    width: int
    fields: tuple[Field, ...]


def write_steps(steps: StoredObject, fields: Sequence[str] | None, *, passes_missing: bool) -> WrittenSteps:
    """Write a pipeline all of whose steps change columns.

    Args:
        steps: The pipeline.
        fields: The names of its columns in their order, for steps that do not state them.
        passes_missing: Whether a missing number may come out of the steps; otherwise it is refused before them.

    Raises:
        UnsupportedModel: if a step has no writer, or gives texts, or the names do not fit.
    """
    with form_checked(steps):
        names, graph = field_names(steps, fields), GraphWriter()
        block = write_transformer(steps, Frame.of_fields(names), graph).numbers(graph)
        assert block.tensor is not None
        if not passes_missing:
            refuse_missing(block.origins, graph)
        model = graph.model({PREPARED: (block.tensor, block.width)}, TensorProto.DOUBLE)
        return WrittenSteps(model, block.width, tuple(Field.of(name, graph) for name in names))
