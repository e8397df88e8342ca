"""A client that openapi-python-client made, in the folder of the second argument: rows, columns and a refusal."""

import json
import sys

sys.path.insert(0, sys.argv[2])

from generated import Client
from generated.api.open_inference import model_infer
from generated.api.predictions import predict
from generated.api.tensorflow_serving import tensorflow_predict
from generated.models import (
    Columns,
    OpenInferenceRequest,
    Problem,
    Row,
    Rows,
    TensorflowPredictBodyType0,
)

client, rows = Client(base_url=sys.argv[1]), json.load(sys.stdin)
answer = predict.sync(client=client, body=Rows(rows=[Row.from_dict(row) for row in rows]))
columns = {name: [row[name] for row in rows] for name in rows[0]}
table = predict.sync(client=client, body=Columns.from_dict({"columns": columns})).to_dict()["columns"]
assert table["decision"] == [each.decision.value for each in answer.predictions]
instances = TensorflowPredictBodyType0.from_dict({"instances": rows})
predictions = tensorflow_predict.sync(model="served", client=client, body=instances).to_dict()["predictions"]
kinds = {float: "FP64", int: "INT64", bool: "BOOL", str: "BYTES"}
inputs = [
    {"name": name, "shape": [1], "datatype": kinds[type(value)], "data": [value]} for name, value in rows[0].items()
]
tensors = model_infer.sync(model="served", client=client, body=OpenInferenceRequest.from_dict({"inputs": inputs}))
assert tensors.to_dict()["outputs"][1]["data"] == table["decision"][:1]
refusal = predict.sync(client=client, body=Rows.from_dict({"rows": [{**rows[0], "departure": "soon"}]}))
assert isinstance(refusal, Problem)
answers = [
    {
        "decision": [each.decision.value for each in answer.predictions],
        "probabilities": [list(each.probabilities.to_dict().values()) for each in answer.predictions],
    },
    {name: [each[name] for each in predictions] for name in ("decision", "probabilities")},
]
print(json.dumps({"answers": answers, "refusal": refusal.to_dict()["errors"][0]["field"]}))
