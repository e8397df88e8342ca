"""What ends every run works for models with vectors, sequences and images, too."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest

from model_deployer.contract.contract import Contract
from model_deployer.contract.outputs import Classification
from model_deployer.contract.reference import CountDistribution, NormDistribution
from model_deployer.training.data.request_rows import frame_of_requests, legal
from model_deployer.training.data.traffic import Origins
from model_deployer.training.evaluation.importance import importance
from model_deployer.training.evaluation.scored_rows import ScoredRows
from model_deployer.training.evaluation.sensitivity import missing_values
from model_deployer.training.evaluation.slices import slices
from model_deployer.training.export.drift_replay import replay, replayed_rows
from model_deployer.training.export.export import graph_predictor
from model_deployer.training.export.latency import measure
from model_deployer.training.export.reference import reference
from tests.support import tensor_models
from tests.support.tensor_models import CONTRACT, WITH_IMAGE, WITH_SEQUENCES

Model = tuple[Contract, onnx.ModelProto, pl.DataFrame]

MODELS: dict[str, tuple[Contract, Callable[[Contract], onnx.ModelProto], Callable[[Contract, int], Sequence[Any]]]] = {
    "vectors": (CONTRACT, tensor_models.vector_graph, tensor_models.vector_rows),
    "sequences": (WITH_SEQUENCES, tensor_models.sequence_graph, tensor_models.sequence_rows),
    "images": (WITH_IMAGE, tensor_models.image_graph, tensor_models.image_rows),
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Model:
    contract, graph, rows = MODELS[request.param]
    return contract, graph(contract), frame_of_requests(contract.features, list(rows(contract, 120)))


def test_rows_are_legal(model: Model) -> None:
    contract, _, frame = model
    assert legal(contract.features, frame).all()


def test_importance_missing_values_and_slices(model: Model) -> None:
    contract, graph, frame = model
    predict = graph_predictor(graph)
    target = predict(frame)["probabilities"].argmax(axis=1)
    assert isinstance(contract.output, Classification)
    scored = ScoredRows(predict, frame, contract.features, contract.output, target, np.ones(len(target)))
    rises = {each.feature: each.rise for each in importance(scored, 0).features}
    assert rises.keys() == set(contract.names)
    assert max(rises.values()) > 0
    nullable = {feature.name for feature in contract.features if feature.nullable}
    missing = {each.feature: each.missing for each in missing_values(scored, 0).features}
    assert missing.keys() == nullable
    assert all(0 < share < 1 for share in missing.values())
    assert all("age" in part.slice for part in slices(scored, []))


def test_reference_and_replay(model: Model) -> None:
    contract, graph, frame = model
    predict = graph_predictor(graph)
    distributions = reference(contract.features, frame, predict(frame))
    kinds: dict[str, type[Any]] = dict.fromkeys(("embedding", "tokens"), NormDistribution)
    kinds |= {"words": CountDistribution, "signal": CountDistribution}
    assert all(isinstance(distributions.features[name], kinds[name]) for name in contract.names if name in kinds)
    assert "photo" not in distributions.features
    rows, origins = np.arange(frame.height), Origins(None, is_calendar=False, groups=None)
    training, test = (replayed_rows(origins, part, frame, predict, 0) for part in (rows[:80], rows[80:]))
    drift = replay(contract.features, distributions, training, test, 40)
    assert drift.features.keys() == distributions.features.keys()


def test_latency(model: Model) -> None:
    _, graph, frame = model
    assert measure(graph, frame, 16).batch_rows == 16


def test_batches_have_fewer_rows_if_a_row_has_many_numbers() -> None:
    assert CONTRACT.batch_rows == 512
    photo = tensor_models.PHOTO.model_copy(update={"height": 224, "width": 224})
    assert CONTRACT.model_copy(update={"features": (photo,)}).batch_rows == 27
