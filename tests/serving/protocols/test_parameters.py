"""Parameters of the Open Inference Protocol: honoured or refused by name, over REST and gRPC in all their forms."""

import base64
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from tests.serving.grpc.client import Client, outputs_of
from tests.serving.protocols.served import KEY, Served
from tests.serving.protocols.speakers import OPEN_INFERENCE, from_bytes, to_bytes
from tests.support import tiny

INFER = "/v2/models/served/infer"
ROWS = [tiny.ROW | {"carrier": "AA"}, tiny.ROW | {"origin": "EWR", "remark": "ñ\n", "distance": 12.25}]

#: The outcome of a request: the outputs by name, or the text of the refusal.
Outcome = dict[str, Any] | str

#: Sends a request, from the parameters of each input by its name, those of the request, the outputs that it names, and
#: the names of the inputs whose values are base64.
Send = Callable[..., Outcome]


def values_of(name: str, is_base64: bool) -> list[Any]:
    """Return the values of a field, as text in base64 if the parameter says so."""
    values = [row[name] for row in ROWS]
    return [base64.b64encode(text.encode()).decode() for text in values] if is_base64 else values


def by_rest(client: httpx.Client, is_binary: bool) -> Send:
    def send(
        inputs: Mapping[str, Any] | None = None, parameters: Any = None, outputs: Any = (), encoded: Any = ()
    ) -> Outcome:
        heads, blobs = [], []
        for name in tiny.ROW:
            datatype, values = OPEN_INFERENCE.get(name, "BYTES"), values_of(name, name in encoded)
            own = dict((inputs or {}).get(name, {}))
            head: dict[str, Any] = {"name": name, "shape": [len(ROWS)], "datatype": datatype, "parameters": own}
            if is_binary:
                blobs.append(to_bytes(datatype, values))
                own["binary_data_size"] = len(blobs[-1])
            else:
                head["data"] = values
            heads.append(head)
        document: dict[str, Any] = {"inputs": heads, "parameters": dict(parameters or {})}
        if is_binary:
            document["parameters"]["binary_data_output"] = True
        document |= {"outputs": list(outputs)} if outputs else {}
        text = json.dumps(document).encode()
        length = {"Inference-Header-Content-Length": str(len(text))} if is_binary else {}
        answer = client.post(INFER, content=b"".join([text, *blobs]), headers=length)
        return rest_outcome(answer)

    return send


def rest_outcome(answer: httpx.Response) -> Outcome:
    if answer.status_code != 200:
        assert answer.status_code in (400, 504), answer.text
        return str(answer.json()["error"])
    offset, outputs = int(answer.headers.get("inference-header-content-length", len(answer.content))), {}
    for tensor in json.loads(answer.content[:offset])["outputs"]:
        if "data" in tensor:
            outputs[tensor["name"]] = np.reshape(tensor["data"], tensor["shape"]).tolist()
            continue
        size = tensor["parameters"]["binary_data_size"]
        blob, offset = answer.content[offset : offset + size], offset + size
        values = from_bytes(tensor["datatype"], blob, tensor["shape"])
        outputs[tensor["name"]] = np.reshape(values, tensor["shape"]).tolist()
    return outputs


def by_grpc(client: Client, is_raw: bool) -> Send:
    def send(
        inputs: Mapping[str, Any] | None = None, parameters: Any = None, outputs: Any = (), encoded: Any = ()
    ) -> Outcome:
        rows = [
            dict(zip(tiny.ROW, row, strict=True))
            for row in zip(*(values_of(name, name in encoded) for name in tiny.ROW), strict=True)
        ]
        message = client.infer(rows, is_raw=is_raw)
        for tensor in message.inputs:
            set_parameters(tensor, (inputs or {}).get(tensor.name, {}))
        set_parameters(message, parameters or {})
        for output in outputs:
            set_parameters(message.outputs.add(name=output["name"]), output.get("parameters", {}))
        try:
            answer = client.start("ModelInfer", message).result()
        except grpc.RpcError as error:
            assert error.code().name in ("INVALID_ARGUMENT", "DEADLINE_EXCEEDED")
            return str(error.details())
        shapes = {tensor.name: list(tensor.shape) for tensor in answer.outputs}
        return {name: np.reshape(values, shapes[name]).tolist() for name, values in outputs_of(answer).items()}

    return send


def set_parameters(message: Any, parameters: Mapping[str, Any]) -> None:
    kinds = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}
    for name, value in parameters.items():
        setattr(message.parameters[name], kinds[type(value)], value)


@pytest.fixture(scope="module", params=["JSON", "binary", "gRPC", "gRPC raw"])
def send(labels: Served, request: pytest.FixtureRequest) -> Any:
    if "gRPC" not in request.param:
        yield by_rest(labels.client, is_binary=request.param == "binary")
        return
    client = Client(labels.grpc_port, x_api_key=KEY)
    with closing(client.channel):
        yield by_grpc(client, is_raw=request.param == "gRPC raw")


TEXTS = ("origin", "carrier", "remark", "departure", "booked")


def test_base64_is_decoded(send: Send) -> None:
    expected = send()
    assert isinstance(expected, dict)
    for name in TEXTS:
        assert send({name: {"content_type": "base64"}}, encoded=[name]) == expected
    own_types = {name: {"content_type": "np"} for name in ("distance", "temp", "seats", "holiday", "origin")}
    encoded = [name for name in TEXTS if name != "origin"]
    assert send(own_types, {"content_type": "base64"}, encoded=encoded) == expected


def test_content_types_that_change_no_value_are_accepted(send: Send) -> None:
    expected = send()
    for content_type in ("np", "pd"):
        assert send({name: {"content_type": content_type} for name in tiny.ROW}) == expected
        assert send(parameters={"content_type": content_type}) == expected
    assert send({name: {"content_type": "str"} for name in TEXTS}) == expected
    assert send({"departure": {"content_type": "datetime"}}) == expected
    numbers = [{"name": "probabilities", "parameters": {"content_type": "np"}}]
    texts = [{"name": "decision", "parameters": {"content_type": "str"}}]
    assert send(outputs=numbers + texts) == expected


def test_parameters_that_change_nothing_are_ignored(send: Send) -> None:
    schedule = {
        "sequence_id": 7,
        "sequence_start": True,
        "sequence_end": True,
        "priority": 1,
        "timeout": 0,
        "mine": 2.5,
    }
    expected: Any = send()
    assert send(parameters=schedule) == expected
    outputs = [{"name": "decision", "parameters": {"mine": True}}]
    assert send({"origin": {"mine": "x"}}, outputs=outputs) == {"decision": expected["decision"]}


def test_classes_are_the_largest_values_with_their_labels(send: Send) -> None:
    """The form is that of Triton: ``value:index:label``, the largest value first."""
    probabilities: Any = send(outputs=[{"name": "probabilities"}])
    for count in (1, 2, 9):
        outputs = [{"name": "probabilities", "parameters": {"classification": count}}]
        answer: Any = send(outputs=outputs)
        for row, texts in zip(probabilities["probabilities"], answer["probabilities"], strict=True):
            order = sorted(range(2), key=lambda index, row=row: -row[index])[:count]  # type: ignore[misc]
            parts = [text.split(":") for text in texts]
            assert [int(index) for _, index, _ in parts] == order
            assert [label for _, _, label in parts] == [("late", "on_time")[index] for index in order]
            assert [np.float32(value) for value, _, _ in parts] == [np.float32(row[index]) for index in order]
    assert send(outputs=[{"name": "probabilities", "parameters": {"classification": 0}}]) == probabilities


REGION = {"shared_memory_region": "mine", "shared_memory_byte_size": 16}


@pytest.mark.parametrize(
    ("request_parts", "named"),
    [
        ({"inputs": {"distance": REGION}}, "shared_memory_region"),
        ({"inputs": {"origin": {"shared_memory_offset": 8}}}, "shared_memory_region"),
        ({"outputs": [{"name": "decision", "parameters": REGION}]}, "shared_memory_region"),
        ({"parameters": REGION}, "shared_memory_region"),
        ({"parameters": {"classification": 2}}, "classification"),
        ({"outputs": [{"name": "decision", "parameters": {"classification": 1}}]}, "classification"),
        ({"outputs": [{"name": "decision", "parameters": {"content_type": "base64"}}]}, "content_type"),
        ({"outputs": [{"name": "probabilities", "parameters": {"content_type": "str"}}]}, "content_type"),
        ({"inputs": {"distance": {"content_type": "base64"}}}, "content_type"),
        ({"inputs": {"distance": {"content_type": "str"}}}, "content_type"),
        ({"inputs": {"origin": {"content_type": "pillow-image"}}}, "content_type"),
        ({"parameters": {"content_type": "hugging-face-json"}}, "content_type"),
        ({"parameters": {"content_type": "str"}}, "content_type"),  # there are numbers, too
        ({"inputs": {"remark": {"content_type": "base64"}}}, "content_type"),  # the texts are not
        ({"parameters": {"timeout": -1}}, "timeout"),
        ({"parameters": {"timeout": "soon"}}, "timeout"),
        ({"outputs": [{"name": "probabilities", "parameters": {"classification": -1}}]}, "classification"),
        ({"outputs": [{"name": "probabilities", "parameters": {"classification": True}}]}, "classification"),
    ],
)
def test_what_is_not_done_is_refused_by_name(send: Send, request_parts: Mapping[str, Any], named: str) -> None:
    refusal = send(**request_parts)
    assert isinstance(refusal, str)
    assert named in refusal
    assert "mine" not in refusal


def test_a_timeout_is_a_deadline(send: Send) -> None:
    assert send(parameters={"timeout": 10_000_000}) == send()


def test_the_index_may_be_of_ready_models(labels: Served) -> None:
    index = "/v2/repository/index"
    (model,) = labels.client.post(index).json()
    for body in ({}, {"ready": True}, {"ready": False}, {"repository_name": "x"}):
        assert labels.client.post(index, json=body).json() == [model]
    for content in (b"{", b"[]", b'{"ready": 1}'):
        assert "ready" in labels.client.post(index, content=content).json()["error"]
