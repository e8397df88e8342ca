"""What a runtime has to support to load model.onnx, and the runtime that has run it."""

import platform

import onnx
import onnxruntime

from model_deployer.contract.artifact import Artifact
from model_deployer.package.formats import Graph


def graph_facts(artifact: Artifact) -> Graph:
    """Return the facts about the graph of a model that this process has replayed."""
    model = onnx.load(artifact.model, load_external_data=False)
    return Graph(
        ir_version=model.ir_version,
        operators={entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        runtime=onnxruntime.__version__,
        python=platform.python_version(),
    )
