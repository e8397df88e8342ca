"""Measure how much the predictions change from the previous version of a model to the new one."""

from collections.abc import Callable

import polars as pl

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.features import Datetime, Feature
from model_deployer.contract.outputs import Arrays
from model_deployer.contract.prediction_shift import PredictionShift, are_comparable, prediction_shift
from model_deployer.training.data.request_rows import frame_of_requests, legal


def shift_since(
    previous: Artifact | None, contract: Contract, predict: Callable[[pl.DataFrame], Arrays]
) -> PredictionShift | None:
    """Compare a new model with its previous version on the golden requests of the latter.

    Args:
        previous: The highest version in the store; None if there is none yet.
        contract: The contract of the new model.
        predict: Returns the output tensors of the new graph for a conformed frame.

    Returns:
        The shift over the requests that the new model accepts; None if there is no previous version, the outputs cannot
        be compared, or no request is accepted.
    """
    if previous is None or not _accepts_requests_of(previous.contract, contract):
        return None
    golden = list(previous.golden())
    frame = frame_of_requests(contract.features, [case.row for case in golden])
    is_accepted = legal(contract.features, frame)
    golden = [case for case, accepted in zip(golden, is_accepted, strict=True) if accepted]
    if not golden:
        return None
    predictions = contract.output.predictions(predict(frame.filter(is_accepted)))
    return prediction_shift([case.prediction for case in golden], predictions, [case.case for case in golden])


def _accepts_requests_of(old: Contract, new: Contract) -> bool:
    """Return whether the outputs are comparable, and the new model accepts the fields of the old requests."""
    old_fields = {feature.name: _kind(feature) for feature in old.features}
    new_fields = {feature.name: _kind(feature) for feature in new.features}
    required = {feature.name for feature in new.features if feature.required}
    has_same_fields = old_fields.items() <= new_fields.items() and required <= old_fields.keys()
    return are_comparable(old.output, new.output) and has_same_fields


def _kind(feature: Feature) -> tuple[str, bool]:
    return feature.kind, isinstance(feature, Datetime) and feature.zoned
