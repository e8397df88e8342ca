"""Write the network of Keras that the tests adopt, as tf2onnx converts it, with the answers of Keras.

Run it in an environment with tensorflow-cpu and tf2onnx: ``python tests/adoption/keras/write_model.py``. The files in
this folder are from tensorflow-cpu 2.21.0, keras 3.15.1 and tf2onnx 1.17.0.
"""

import json
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def main() -> None:
    """Fit the network, convert it by way of a SavedModel, and write both files."""
    keras = import_module("keras")  # not in the environment of the tests
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    rows = random.normal(5, 2, size=(40, 3)).astype(np.float32)
    scale = keras.layers.Normalization()
    scale.adapt(rows)
    layers = [scale, keras.layers.Dense(6, "relu"), keras.layers.BatchNormalization(), keras.layers.Dense(3, "softmax")]
    network = keras.Sequential([keras.Input((3,)), *layers])
    network.compile(loss="sparse_categorical_crossentropy")
    network.fit(rows, random.integers(0, 3, 40), epochs=2, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        network.export(folder, format="tf_saved_model")
        command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", folder, "--opset", "18"]
        subprocess.run([*command, "--output", str(HERE / "network.onnx")], check=True)
    answers = {"rows": rows.tolist(), "probabilities": network.predict(rows, verbose=0).tolist()}
    (HERE / "answers.json").write_text(json.dumps(answers) + "\n")


if __name__ == "__main__":
    main()
