"""A fitted estimator of any library, converted to ONNX; the graph of the model contains it."""

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

#: The oldest version with these operators (ONNX 1.15), so that ONNX Runtime 1.17 can load a graph.
IR_VERSION = 9

#: The names of the only input and the only output.
COLUMNS, SCORES = "columns", "scores"

#: The largest allowed difference between a score in ONNX and in the library, relative for scores above 1. For several
#: classes, it is the difference between probabilities.
TOLERANCE = 1e-4


class OnnxEstimator:
    """An estimator in ONNX, from ``columns`` float32 [rows, columns] to ``scores`` float32 [rows, outputs].

    The scores are raw: log-odds of the second class [rows, 1], logits [rows, classes], or a quantity on the scale that
    the model is fitted on [rows, 1]. ONNX Runtime computes them here as in the served model. Neither a pickle nor the
    library that fitted the estimator is needed to load it.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model

    @classmethod
    def of_nodes(cls, nodes: list[NodeProto], initializers: list[TensorProto] | None = None) -> Self:
        """Return the estimator of nodes that lead from ``COLUMNS`` to ``SCORES``."""
        columns, scores = (
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", None]) for name in (COLUMNS, SCORES)
        )
        graph = helper.make_graph(nodes, "estimator", [columns], [scores], initializers)
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        return cls(helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION))

    @classmethod
    def load(cls, serialized: bytes) -> Self:
        """Load :attr:`serialized`; damaged bytes raise an error of protobuf or ONNX Runtime."""
        estimator = cls(onnx.load_from_string(serialized))
        estimator._session  # noqa: B018 (a damaged graph must fail here)
        return estimator

    @property
    def serialized(self) -> bytes:
        """The ONNX model as bytes; the same estimator gives the same bytes."""
        return bytes(self.model.SerializeToString(deterministic=True))

    def scores(self, columns: Tensor) -> Tensor:
        """Return the scores, float32 [rows, outputs], of float32 [rows, columns]."""
        (scores,) = self._session.run([SCORES], {COLUMNS: columns.numpy()})
        return torch.from_numpy(scores)

    def checked(self, columns: Tensor, expected: NDArray[Any]) -> Self:
        """Return the estimator itself if its scores equal those of the library.

        Args:
            columns: The rows to compare on, float32 [rows, columns].
            expected: The scores of the library, float [rows] or [rows, outputs].

        Raises:
            CheckFailed: if a score differs by more than ``TOLERANCE``.
        """
        try:
            scores = self.scores(columns).double().numpy()
        except Exception as error:  # the errors of ONNX Runtime have no other common base class
            reason = str(error).partition("\n")[0]
            message = f"ONNX Runtime cannot run the estimator: {reason}; choose another `estimator.name`"
            raise CheckFailed(message) from None
        difference = _difference(scores, expected.astype(np.float64).reshape(scores.shape))
        if not difference <= TOLERANCE:
            raise CheckFailed(
                f"the estimator in ONNX differs from the estimator in its library by up to {difference:.2g}; at most "
                f"{TOLERANCE:g} is allowed; choose another `estimator.name`"
            )
        return self

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        return onnxruntime.InferenceSession(self.serialized, options, providers=["CPUExecutionProvider"])


def _difference(scores: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    if scores.shape[1] > 1:
        scores, expected = softmax(scores, axis=1), softmax(expected, axis=1)
    return float(np.max(np.abs(scores - expected) / np.maximum(1, np.abs(expected)), initial=0.0))
