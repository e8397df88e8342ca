"""The configuration of a model, in the form of Triton's ModelConfig.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_configuration.md
"""

from typing import Any

from model_deployer.contract.artifact import Artifact
from model_deployer.serving.protocols.tensors import Tensors


def model_configuration(artifact: Artifact, tensors: Tensors) -> dict[str, Any]:
    """Return the configuration: Triton's tools read there how many rows a request may have.

    The shapes of the tensors are without the rows. An input is optional if its field may be left out.
    """
    contract = artifact.contract
    is_required = {feature.name: feature.required for feature in contract.features}
    return {
        "name": artifact.manifest.name,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "max_batch_size": contract.limits.rows,
        "input": [
            {
                "name": name,
                "data_type": _data_type(datatype),
                "dims": tensors.shapes[name],
                "optional": not is_required[name],
            }
            for name, datatype in tensors.inputs.items()
        ],
        "output": [
            {"name": name, "data_type": _data_type(output.datatype), "dims": list(output.shape)}
            for name, output in tensors.outputs.items()
        ],
        "dynamic_batching": {},
    }


def _data_type(datatype: str) -> str:
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"
