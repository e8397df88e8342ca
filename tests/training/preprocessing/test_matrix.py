"""The input matrix of trees and other estimators."""

import numpy as np
import polars as pl
import pytest
import torch

from model_deployer.training.preprocessing.matrix import fit_columns
from model_deployer.training.preprocessing.sample import Sample
from tests.support.tables import classes_of, spec, table, unfitted

FRAME = table(2000)


def test_an_average_target_does_not_tell_a_row_its_own() -> None:
    """The category has nothing to do with the target."""
    frame = FRAME.with_columns(pl.Series("colour", [f"c{row % 180}" for row in range(FRAME.height)]))
    target = np.random.default_rng(0).integers(0, 2, frame.height)
    model, train = unfitted(frame, target, 2, spec())
    columns, cross_fitted = fit_columns(model.scaling, model.blueprint.cardinalities, train, 2, 0)
    in_sample = columns(train.inputs.numbers, train.inputs.codes)
    column = -1  # the only category with more than two levels that is not target-encoded already
    correlations = [float(np.corrcoef(matrix[:, column].numpy(), target)[0, 1]) for matrix in (cross_fitted, in_sample)]
    assert correlations[0] < 0.05
    assert correlations[1] > 0.2


def test_rows_that_weigh_nothing_teach_nothing() -> None:
    target = classes_of(FRAME, 2)
    model, train = unfitted(FRAME, target, 2, spec())
    weights = np.where(np.arange(len(train)) < 1000, 1.0, 0.0)
    flipped = np.where(weights > 0, target, 1 - target)
    means = [
        fit_columns(model.scaling, model.blueprint.cardinalities, Sample(train.inputs, values, weights), 2, 0)[0].means
        for values in (target, flipped)
    ]
    assert torch.equal(*means)


def test_columns_are_nan_or_bounded() -> None:
    """Columns are NaN where a number is missing, and bounded elsewhere."""
    model, train = unfitted(FRAME, classes_of(FRAME, 2), 2, spec())
    columns, _ = fit_columns(model.scaling, model.blueprint.cardinalities, train, 2, 0)
    frame = FRAME.head(2).with_columns(pl.Series("size, in m²", [np.nan, 1e300]))
    inputs = model.blueprint.preprocessor.transform(frame)
    matrix = columns(inputs.numbers, inputs.codes)
    largest = float((model.scaling.high - model.scaling.median)[0])
    assert torch.isnan(matrix[0, 0])
    assert matrix[1, 0].item() == pytest.approx(largest)
