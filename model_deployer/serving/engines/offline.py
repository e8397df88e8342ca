"""A model's answers without a server: to compare it with another one."""

from collections.abc import Mapping, Sequence
from typing import Any

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import InvalidRows
from model_deployer.serving.engines.onnx import OnnxEngine
from model_deployer.serving.rows.columns import ColumnBuilder, Values
from model_deployer.serving.rows.validation import Validator


def predict(artifact: Artifact, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | None]:
    """The predictions for rows as clients send them, in one batch on the CPU.

    Returns:
        A prediction a row, as :mod:`contract.outputs` describes it; None for a row that the model's contract refuses.
    """
    contract, validator = artifact.contract, Validator(artifact.contract)
    checked = [_checked(validator, row) for row in rows]
    accepted = [values for values in checked if values is not None]
    if not accepted:
        return [None] * len(rows)
    engine = OnnxEngine(artifact.model, contract.output)
    outputs = engine.run(ColumnBuilder(contract.features)(accepted))
    predictions = iter(contract.output.predictions(outputs))
    return [None if values is None else next(predictions) for values in checked]


def _checked(validator: Validator, row: Mapping[str, Any]) -> Values | None:
    try:
        (values,) = validator.check([row])
    except InvalidRows:
        return None
    return values
