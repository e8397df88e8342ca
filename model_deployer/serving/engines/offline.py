"""Predictions of a model without a server, to compare it with another one."""

from collections.abc import Mapping, Sequence
from typing import Any

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import InvalidRows
from model_deployer.serving.engines.onnx import OnnxEngine
from model_deployer.serving.rows.columns import ColumnBuilder, Values
from model_deployer.serving.rows.validation import Validator


def predict(artifact: Artifact, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | None]:
    """Predict rows as clients send them, in one batch on the CPU.

    Args:
        artifact: The model.
        rows: JSON objects, one per row, with a value for each field.

    Returns:
        One prediction per row, as :mod:`contract.outputs` describes it; None for a row that breaks the model's
        contract.
    """
    contract, validator = artifact.contract, Validator(artifact.contract)
    checked = [_check(validator, row) for row in rows]
    accepted = [values for values in checked if values is not None]
    if not accepted:
        return [None] * len(rows)
    engine = OnnxEngine(artifact.model, contract.output)
    outputs = engine.run(ColumnBuilder(contract.features)(accepted))
    predictions = iter(contract.output.predictions(outputs))
    return [None if values is None else next(predictions) for values in checked]


def _check(validator: Validator, row: Mapping[str, Any]) -> Values | None:
    try:
        (values,) = validator.check([row])
    except InvalidRows:
        return None
    return values
