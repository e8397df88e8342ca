"""The metadata of model.onnx: what its inputs and outputs mean, for a reader who has only this file."""

import json
from collections.abc import Iterator

import onnx

from model_deployer.contract.artifact import Manifest
from model_deployer.contract.contract import Contract
from model_deployer.contract.features import Feature
from model_deployer.contract.outputs import Classification, Output, Regression, VectorOutput

#: What the arrays of a regression are.
_REGRESSION_TENSORS = {
    "value": "The estimate",
    "lower": "The lower end of the interval",
    "upper": "The upper end of the interval",
}


def describe(graph: onnx.ModelProto, contract: Contract, manifest: Manifest) -> None:
    """Write the metadata into a graph; equal arguments give equal bytes.

    The keys are ``name``, ``version``, ``target``, ``contract`` (the content of contract.json) and, where the model has
    them, ``labels`` (a JSON list), ``positive``, ``threshold``, ``set_threshold``, ``unit``, ``coverage``, ``targets``
    (a JSON list), ``units`` (a JSON object), ``description``, ``owner`` and ``license``. Each input and output has a
    description in ``doc_string``.

    Args:
        graph: The graph of the contract.
        contract: The contract of the model.
        manifest: The manifest. The time of training is not a part of the metadata.
    """
    properties = {
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "owner": manifest.owner,
        "license": manifest.license,
        **dict(_output_properties(contract.output)),
        "contract": contract.model_dump_json(),
    }
    onnx.helper.set_model_props(graph, {key: value for key, value in properties.items() if value is not None})
    features = {feature.name: feature for feature in contract.features}
    for value in graph.graph.input:
        value.doc_string = _input_description(features[value.name])
    for value in graph.graph.output:
        value.doc_string = _output_description(contract.output, value.name)


def _output_properties(output: Output) -> Iterator[tuple[str, str | None]]:
    yield "target", output.target
    if isinstance(output, Classification):
        yield "labels", json.dumps(output.labels, ensure_ascii=False)
        yield "positive", output.positive
        yield "threshold", _text(output.threshold)
        yield "set_threshold", _text(output.set_threshold)
        yield "coverage", _text(None if output.set_threshold is None else output.coverage)
    elif isinstance(output, VectorOutput):
        yield "targets", None if output.names is None else json.dumps(output.names, ensure_ascii=False)
        yield "units", json.dumps(output.unit_of, ensure_ascii=False) if output.units else None
    else:
        yield "unit", output.unit
        yield "coverage", _text(output.coverage if output.interval else None)


def _text(number: float | None) -> str | None:
    return None if number is None else repr(number)


def _input_description(feature: Feature) -> str:
    sentences = [feature.description, feature.unit and f"Unit: {feature.unit}.", feature.encoding()]
    return " ".join(sentence for sentence in sentences if sentence)


def _output_description(output: Output, tensor: str) -> str:
    if isinstance(output, Regression):
        unit = f", in {output.unit}" if output.unit else ""
        return f"{_REGRESSION_TENSORS[tensor]} of {output.target}{unit}."
    if isinstance(output, VectorOutput):
        if output.names is None:
            return f"The numbers of {output.target}."
        return f"The estimates of {output.target}, in the order of `targets`."
    return f"The probability of each label of {output.target}, in the order of `labels`."
