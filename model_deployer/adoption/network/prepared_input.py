"""A network whose input is what steps before it give."""

from dataclasses import replace

import onnx
from onnx import compose

from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.graph.written_steps import PREPARED, WrittenSteps
from model_deployer.adoption.interface import SourceField
from model_deployer.adoption.network.arrangement import Slot
from model_deployer.adoption.network.network import Network

#: What the tensors of the network are called in front, so that they differ from those of the steps.
_PREFIX = "after/"


def prepared_input(network: Network, width: int) -> Slot:
    """Return the input of a network as one field, :data:`PREPARED`.

    Args:
        network: The network.
        width: The number of columns that the steps give.

    Raises:
        UnsupportedModel: if the network has several inputs, or takes another number of columns.
    """
    (tensor, *others) = network.inputs
    if others or tensor.kind != "number":
        raise UnsupportedModel("the network after the steps has several inputs, or one of texts")
    if tensor.width is None and len(tensor.sizes) == 1:
        tensor = replace(tensor, sizes=(width,))
    if tensor.width != width:
        raise UnsupportedModel(f"the steps give {width} columns, but the network takes {tensor.width or 'other sizes'}")
    return Slot(tensor, (SourceField(PREPARED, "number", length=width),))


def join_steps(steps: WrittenSteps, network: onnx.ModelProto) -> onnx.ModelProto:
    """Return one graph of steps and a network.

    The steps become operators of the version that the network has: a newer or older one whose form is the same.

    Args:
        steps: The steps.
        network: The graph of :func:`wrap_network`, whose input is :data:`PREPARED`.

    Raises:
        UnsupportedModel: if the steps have operators of another form, or a column has the name of the output.
    """
    output = network.graph.output[0].name
    if any(field.name == output for field in steps.fields):
        raise UnsupportedModel(f"a column has the name of the output, '{output}': list others under `adopt.columns`")
    versions = {"" if item.domain == "ai.onnx" else item.domain: item.version for item in network.opset_import}
    first = onnx.ModelProto()
    first.CopyFrom(steps.onnx)
    for item in first.opset_import:
        item.version = versions.get(item.domain, item.version)
    kept = dict.fromkeys(("rename_inputs", "rename_outputs", "rename_functions"), False)
    last = compose.add_prefix(network, _PREFIX, **kept)
    first.ir_version = last.ir_version = max(first.ir_version, last.ir_version)
    try:
        onnx.checker.check_model(first, full_check=True)
        joined = compose.merge_models(first, last, io_map=[(PREPARED, PREPARED)])
        onnx.checker.check_model(joined)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise UnsupportedModel(
            f"the steps need operators that the network's version of ONNX, opset {versions['']}, does not have"
        ) from error
    return joined
