"""tritonclient over HTTP: health, metadata, binary tensors both ways, and JSON both ways."""

import json
import sys

import numpy as np
from tritonclient import http
from tritonclient.utils import InferenceServerException

KINDS = {"FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_, "BYTES": np.object_}


def infer(client, rows, is_binary):
    inputs = []
    for tensor in client.get_model_metadata("served")["inputs"]:
        values = np.array([row[tensor["name"]] for row in rows if tensor["name"] in row], KINDS[tensor["datatype"]])
        if len(values):
            inputs.append(http.InferInput(tensor["name"], [len(rows)], tensor["datatype"]))
            inputs[-1].set_data_from_numpy(values, binary_data=is_binary)
    outputs = [http.InferRequestedOutput(name, binary_data=is_binary) for name in ("decision", "probabilities")]
    result = client.infer("served", inputs, outputs=outputs)
    decisions = [label.decode() if isinstance(label, bytes) else label for label in result.as_numpy("decision")]
    return {"decision": decisions, "probabilities": result.as_numpy("probabilities").astype(float).tolist()}


url, rows = sys.argv[1], json.load(sys.stdin)
client = http.InferenceServerClient(url.removeprefix("http://"))
assert client.is_server_live()
assert client.is_server_ready()
assert client.is_model_ready("served")
assert client.get_model_repository_index()[0]["name"] == "served"
assert client.get_model_config("served")["max_batch_size"] > 0
assert client.get_inference_statistics()["model_stats"][0]["name"] == "served"
for ask in (client.get_system_shared_memory_status, lambda: client.load_model("served"), client.get_trace_settings):
    try:
        ask()
    except InferenceServerException as error:
        assert "/docs.json" in error.message(), error
    else:
        raise AssertionError("an extension that does not exist was answered")
answers = [infer(client, rows, is_binary) for is_binary in (True, False)]
try:
    infer(client, [{name: row[name] for name in row if name != "departure"} for row in rows], is_binary=True)
except InferenceServerException as error:
    print(json.dumps({"answers": answers, "refusal": error.message()}))
