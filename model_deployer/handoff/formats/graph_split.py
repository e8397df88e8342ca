"""The two halves of a model's graph: what turns raw fields into numbers, and what answers from these."""

import onnx
from onnx import TensorProto, helper
from onnx.utils import Extractor

from model_deployer.contract.artifact import Artifact

#: What passes between the halves, and its types: float64 [rows, n] and int64 [rows, m].
_BETWEEN = {"numbers": TensorProto.DOUBLE, "codes": TensorProto.INT64}


def split_graph(artifact: Artifact) -> tuple[bytes, bytes] | None:
    """The preprocessor and the model behind it, as two graphs; None where the graph is not made of the two.

    The first one takes the inputs of model.onnx and answers numbers and codes; the second one takes these and answers
    what model.onnx does.
    """
    whole = onnx.load(artifact.model)
    prefix = _prefix(whole)
    if prefix is None:
        return None
    ends = [helper.make_tensor_value_info(prefix + name, kind, ["rows", None]) for name, kind in _BETWEEN.items()]
    known = {value.name for value in whole.graph.value_info}
    whole.graph.value_info.extend(end for end in ends if end.name not in known)
    cut, between = Extractor(whole), [end.name for end in ends]
    inputs, outputs = ([value.name for value in values] for values in (whole.graph.input, whole.graph.output))
    first, second = cut.extract_model(inputs, between), cut.extract_model(between, outputs)
    return bytes(first.SerializeToString(deterministic=True)), bytes(second.SerializeToString(deterministic=True))


def _prefix(whole: onnx.ModelProto) -> str | None:
    """What the names of the inner tensors begin with: ``model_``, after as many underscores as it took to be alone."""
    made = {name for node in whole.graph.node for name in node.output}
    prefixes = [name.removesuffix("numbers") for name in made if name.lstrip("_") == "model_numbers"]
    return next((prefix for prefix in prefixes if f"{prefix}codes" in made), None)
