"""What trees and other estimators are asked with."""

import numpy as np
import polars as pl
import pytest
import torch

from model_deployer.training.preprocessing.matrix import fit_columns
from model_deployer.training.preprocessing.sample import Sample
from tests.support.tables import classes_of, spec, table, unfitted

FRAME = table(2000)


def test_an_average_target_does_not_tell_a_row_its_own() -> None:
    """Of a category that has nothing to do with the target."""
    frame = FRAME.with_columns(pl.Series("colour", [f"c{row % 180}" for row in range(FRAME.height)]))
    target = np.random.default_rng(0).integers(0, 2, frame.height)
    model, train = unfitted(frame, target, 2, spec())
    columns, own = fit_columns(model.scaling, model.blueprint.cardinalities, train, 2, 0)
    asked = columns(train.inputs.numbers, train.inputs.codes)
    place = -1  # the only category of more than two levels that is not encoded already
    told = [float(np.corrcoef(matrix[:, place].numpy(), target)[0, 1]) for matrix in (own, asked)]
    assert told[0] < 0.05
    assert told[1] > 0.2


def test_rows_that_weigh_nothing_teach_nothing() -> None:
    target = classes_of(FRAME, 2)
    model, train = unfitted(FRAME, target, 2, spec())
    weights = np.where(np.arange(len(train)) < 1000, 1.0, 0.0)
    flipped = np.where(weights > 0, target, 1 - target)
    learnt = [
        fit_columns(model.scaling, model.blueprint.cardinalities, Sample(train.inputs, each, weights), 2, 0)[0].means
        for each in (target, flipped)
    ]
    assert torch.equal(*learnt)


def test_columns_are_nan_where_a_number_is_missing_and_bounded_elsewhere() -> None:
    model, train = unfitted(FRAME, classes_of(FRAME, 2), 2, spec())
    columns, _ = fit_columns(model.scaling, model.blueprint.cardinalities, train, 2, 0)
    odd = FRAME.head(2).with_columns(pl.Series("size, in m²", [np.nan, 1e300]))
    inputs = model.blueprint.preprocessor.transform(odd)
    asked = columns(inputs.numbers, inputs.codes)
    largest = float((model.scaling.high - model.scaling.median)[0])
    assert torch.isnan(asked[0, 0])
    assert asked[1, 0].item() == pytest.approx(largest)
