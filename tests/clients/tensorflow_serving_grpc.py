"""The stubs of tensorflow-serving-api: the status, the metadata, predictions of tensors in both forms, and examples.

tensorflow-protobuf has the messages of TensorFlow without TensorFlow, except the codes of errors.
"""

import json
import sys
from importlib import import_module
from types import ModuleType
from urllib.parse import urlsplit

import grpc
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool


def add_error_codes():
    """Add the module that tensorflow-protobuf lacks, with what the stubs take from it."""
    file = descriptor_pb2.FileDescriptorProto(
        name="tensorflow/core/protobuf/error_codes.proto", package="tensorflow.error", syntax="proto3"
    )
    codes = file.enum_type.add(name="Code")
    for code in grpc.StatusCode:
        codes.value.add(name=code.name, number=code.value[0])
    module = ModuleType("tensorflow.core.protobuf.error_codes_pb2")
    module.DESCRIPTOR = descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    module.xla_dot_tsl_dot_protobuf_dot_error__codes__pb2 = module
    sys.modules[module.__name__] = module
    import_module("tensorflow.core.protobuf").error_codes_pb2 = module


add_error_codes()

from tensorflow.core.example.example_pb2 import Example  # noqa: E402
from tensorflow.core.framework import types_pb2  # noqa: E402
from tensorflow_serving.apis import (  # noqa: E402
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

DTYPES = {
    float: (types_pb2.DT_DOUBLE, "double_val"),
    int: (types_pb2.DT_INT64, "int64_val"),
    bool: (types_pb2.DT_BOOL, "bool_val"),
    str: (types_pb2.DT_STRING, "string_val"),
}


def put(tensor, values, is_content):
    tensor.dtype, field = DTYPES[type(values[0])]
    tensor.tensor_shape.dim.add(size=len(values))
    if isinstance(values[0], str):
        tensor.string_val.extend(value.encode() for value in values)
    elif is_content:
        tensor.tensor_content = np.array(values).tobytes()
    else:
        getattr(tensor, field).extend(values)


def predict(service, rows, is_content):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "served"
    request.model_spec.signature_name = "serving_default"
    for name in rows[0]:
        put(request.inputs[name], [row[name] for row in rows], is_content)
    answer = service.Predict(request, timeout=10)
    assert answer.model_spec.version.value == 1_000_000
    probabilities = answer.outputs["probabilities"]
    shape = [dim.size for dim in probabilities.tensor_shape.dim]
    return {
        "decision": [label.decode() for label in answer.outputs["decision"].string_val],
        "probabilities": np.array(probabilities.float_val).reshape(shape).tolist(),
    }


def classify(service, rows):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "served"
    for row in rows:
        features = request.input.example_list.examples.add().features.feature
        for name, value in row.items():
            if isinstance(value, str):
                features[name].bytes_list.value.append(value.encode())
            elif isinstance(value, float):
                features[name].float_list.value.append(value)
            else:
                features[name].int64_list.value.append(int(value))
    assert isinstance(request.input.example_list.examples[0], Example)
    results = service.Classify(request, timeout=10).result.classifications
    return [max(result.classes, key=lambda each: each.score).label for result in results]


port, rows = sys.argv[2], json.load(sys.stdin)
with grpc.insecure_channel(f"{urlsplit(sys.argv[1]).hostname}:{port}") as channel:
    service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "served"
    (version,) = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(status).model_version_status
    assert (version.version, version.state) == (1_000_000, get_model_status_pb2.ModelVersionStatus.AVAILABLE)
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "served"
    definitions = get_model_metadata_pb2.SignatureDefMap()
    assert service.GetModelMetadata(metadata).metadata["signature_def"].Unpack(definitions)
    assert definitions.signature_def["serving_default"].inputs["seats"].dtype == types_pb2.DT_INT64
    answers = [predict(service, rows, is_content) for is_content in (False, True)]
    assert classify(service, rows) == answers[0]["decision"]
    try:
        predict(service, [{"seats": 5}], False)
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        print(json.dumps({"answers": answers, "refusal": error.details()}))
