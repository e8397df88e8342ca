"""The stubs of torchserve-client: health, and predictions at once and as a stream.

Its class TorchServeClientGRPC does not work: it calls the stubs with arguments that they do not have.
"""

import json
import sys
from urllib.parse import urlsplit

import grpc
from google.protobuf.empty_pb2 import Empty
from torchserve_client.proto.inference_pb2 import PredictionsRequest
from torchserve_client.proto.inference_pb2_grpc import InferenceAPIsServiceStub

port, rows = sys.argv[2], json.load(sys.stdin)
with grpc.insecure_channel(f"{urlsplit(sys.argv[1]).hostname}:{port}") as channel:
    service = InferenceAPIsServiceStub(channel)
    assert json.loads(service.Ping(Empty()).health) == {"status": "Healthy"}
    request = PredictionsRequest(model_name="served", input={"data": json.dumps(rows).encode()})
    answers = [json.loads(service.Predictions(request).prediction)]
    request.model_version = "1.0.0"
    answers += [json.loads(response.prediction) for response in service.StreamPredictions(request)]
    try:
        service.Predictions(PredictionsRequest(model_name="served", input={"data": b"{}"}))
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        print(json.dumps({"answers": answers, "refusal": error.details()}))
