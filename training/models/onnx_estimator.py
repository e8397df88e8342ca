"""A fitted estimator as the piece of ONNX that it becomes in the graph, whichever library it was learnt by."""

from functools import cached_property
from typing import Any, Self

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper
from scipy.special import softmax
from torch import Tensor

from model_deployer.contract.errors import CheckFailed

OPSETS = {"": 20, "ai.onnx.ml": 4}
IR_VERSION = 10

#: The names of its only input and its only output.
COLUMNS, SCORES = "columns", "scores"

#: The largest difference between a score in ONNX and in the library that are still the same, relative above 1; of
#: several classes it is that of their probabilities.
TOLERANCE = 1e-4


class OnnxEstimator:
    """From ``columns`` float32 [rows, columns] to ``scores`` float32 [rows, outputs].

    Raw scores: log-odds of the second class [rows, 1], logits [rows, classes], or standard deviations [rows, 1]. ONNX
    Runtime answers here as it does in the served model, and a stored one is loaded without the library that made it,
    and without a pickle.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model

    @classmethod
    def of_nodes(cls, nodes: list[NodeProto], initializers: list[TensorProto] | None = None) -> Self:
        """One of nodes that lead from ``COLUMNS`` to ``SCORES``."""
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", None]) for name in (COLUMNS, SCORES)]
        graph = helper.make_graph(nodes, "estimator", ends[:1], ends[1:], initializers)
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        return cls(helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION))

    @classmethod
    def load(cls, stored: bytes) -> Self:
        """From :attr:`serialized`; raises whatever protobuf and ONNX Runtime do where it is damaged."""
        scorer = cls(onnx.load_from_string(stored))
        scorer._session  # noqa: B018 (a damaged one is to fail here)
        return scorer

    @property
    def serialized(self) -> bytes:
        """The bytes that are kept of it."""
        return bytes(self.model.SerializeToString(deterministic=True))

    def scores(self, columns: Tensor) -> Tensor:
        """The scores of some rows."""
        (scores,) = self._session.run([SCORES], {COLUMNS: columns.numpy()})
        return torch.from_numpy(scores)

    def checked(self, columns: Tensor, expected: NDArray[Any]) -> Self:
        """Itself, if it scores these rows as the library did.

        Raises:
            CheckFailed: It does not.
        """
        try:
            scores = self.scores(columns).double().numpy()
        except Exception as error:  # ONNX Runtime's own have no base but this
            reason = str(error).partition("\n")[0]
            message = f"ONNX Runtime cannot run the estimator: {reason}; choose another `estimator.name`"
            raise CheckFailed(message) from None
        difference = _difference(scores, expected.astype(np.float64).reshape(scores.shape))
        if not difference <= TOLERANCE:
            raise CheckFailed(
                f"the estimator answers otherwise in ONNX than in its library: by up to {difference:.2g}, and "
                f"{TOLERANCE:g} is allowed; choose another `estimator.name`"
            )
        return self

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        return onnxruntime.InferenceSession(self.serialized, options, providers=["CPUExecutionProvider"])


def _difference(scores: NDArray[np.float64], exact: NDArray[np.float64]) -> float:
    if scores.shape[1] > 1:
        scores, exact = softmax(scores, axis=1), softmax(exact, axis=1)
    return float(np.max(np.abs(scores - exact) / np.maximum(1, np.abs(exact)), initial=0.0))
