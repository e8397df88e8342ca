"""How far the answers move when a model takes the place of its previous version."""

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
    """Send a new model the golden requests of the previous one, those that it accepts.

    Args:
        previous: The highest version in the store; None where there is none yet.
        contract: The new model's.
        predict: The new graph's output tensors for a conformed frame.

    Returns:
        None where nothing can be compared: there is no previous model, the outputs differ, or no request is accepted.
    """
    if previous is None or not _same_question(previous.contract, contract):
        return None
    golden = list(previous.golden())
    frame = frame_of_requests(contract.features, [case.row for case in golden])
    accepted = legal(contract.features, frame)
    golden = [case for case, taken in zip(golden, accepted, strict=True) if taken]
    if not golden:
        return None
    answers = contract.output.predictions(predict(frame.filter(accepted)))
    return prediction_shift([case.prediction for case in golden], answers, [case.case for case in golden])


def _same_question(old: Contract, new: Contract) -> bool:
    """Whether the answers can be compared, and the fields of the old requests are fields that the new model takes."""
    sent = {feature.name: _kind(feature) for feature in old.features}
    taken = {feature.name: _kind(feature) for feature in new.features}
    required = {feature.name for feature in new.features if feature.required}
    return are_comparable(old.output, new.output) and sent.items() <= taken.items() and required <= sent.keys()


def _kind(feature: Feature) -> tuple[str, bool]:
    return feature.kind, isinstance(feature, Datetime) and feature.zoned
