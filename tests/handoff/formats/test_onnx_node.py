"""model.onnx in Node.js, with the lines of the integration guide.

The tests need onnxruntime-node: ``npm install onnxruntime-node``, with the path of its node_modules in NODE_PATH.
"""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from model_deployer.contract.artifact import Artifact
from model_deployer.handoff.documents import library_guide
from model_deployer.handoff.formats.templates import predictor
from tests.support import tiny

#: Reads the inputs of the graph as {name: {type, values}}, with null for NaN, and prints its outputs.
PROGRAM = """
const { InferenceSession, Tensor } = require("onnxruntime-node");
const [model, inputs] = process.argv.slice(2);
const feeds = {};
for (const [name, { type, values }] of Object.entries(JSON.parse(inputs))) {
  const data = type === "string" ? values : Float64Array.from(values, (value) => value ?? NaN);
  feeds[name] = new Tensor(type, data, [values.length, 1]);
}
(async () => {
  const outputs = await (await InferenceSession.create(model)).run(feeds);
  for (const name of Object.keys(outputs)) outputs[name] = Array.from(outputs[name].data);
  console.log(JSON.stringify(outputs));
})();
"""


def has_runtime() -> bool:
    """Return whether Node.js finds onnxruntime-node."""
    if shutil.which("node") is None:
        return False
    command = ["node", "-e", "require.resolve('onnxruntime-node')"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_the_graph_answers_in_node_as_in_python(tmp_path: Path) -> None:
    if not has_runtime():
        pytest.skip("onnxruntime-node is not installed")
    artifact = Artifact(tmp_path, tiny.write(tmp_path))
    model = predictor.Predictor(artifact.contract.model_dump_json(), artifact.model.read_bytes())
    arrays = model.transform([case.row for case in artifact.golden()])
    inputs = {
        name: {
            "type": "string" if array.dtype == object else "float64",
            "values": [None if isinstance(value, float) and np.isnan(value) else value for [value] in array.tolist()],
        }
        for name, array in arrays.items()
    }
    program = tmp_path / "predict.cjs"
    program.write_text(PROGRAM)
    command = ["node", str(program), str(artifact.model), json.dumps(inputs)]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    for name, array in model.run(arrays).items():
        np.testing.assert_allclose(json.loads(completed.stdout)[name], array.ravel(), rtol=1e-6)
    assert "new Tensor(type, values, [rows, 1])" in library_guide.TENSOR_TYPES["Node"].inputs
