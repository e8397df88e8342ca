"""What every estimator but the network is asked with: one matrix of float32, in which a missing number is NaN."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import KFold
from torch import Tensor, nn

from model_deployer.training.preprocessing.preprocessing import SMOOTHING
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.preprocessing.scaling import Scaling

#: Codes, unknown included, whose order tells all there is to tell.
ORDERED_CODES = 3

#: Folds in which categories are encoded for the rows that are learnt from.
_FOLDS = 5

#: Beyond it a number is infinite in float32; and below it LightGBM takes one for zero, at the latest.
_LARGEST, _SMALLEST = 3e38, 1e-30

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Matrix:
    """Rows as an estimator takes them, with their known answers.

    Attributes:
        values: float32 [rows, columns] of :class:`Columns`.
        target: Class codes, or standard deviations; one a row.
        weights: How much each row counts; None where all count the same.
    """

    values: Tensor
    target: NDArray[Any]
    weights: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.values)


class Columns(nn.Module):
    """The columns of that matrix.

    Numbers are bounded as those of the network are, and taken from their median, so that float32 tells neighbours
    apart. Codes are numbers too, since the order of levels often means something; of categories with more than two
    levels there is the average target where one holds as well, one column a class that is told apart.

    Args:
        scaling: Whose bounds, medians and calendar parts it shares.
        cardinalities: For every code column the number of codes.
        outputs: Numbers that the model answers: one a class, or one for regression.
    """

    means: Tensor
    many: Tensor
    starts: Tensor

    def __init__(self, scaling: Scaling, cardinalities: Sequence[int], outputs: int) -> None:
        super().__init__()
        self._scaling = (scaling,)
        categories = len(cardinalities) - scaling.layout.datetimes - scaling.layout.booleans
        many = [place for place, codes in enumerate(cardinalities[:categories]) if codes > ORDERED_CODES]
        starts = np.cumsum([0, *(cardinalities[place] for place in many)])
        self.register_buffer("means", torch.zeros(int(starts[-1]), 1 if outputs <= 2 else outputs))
        for name, values in (("many", many), ("starts", starts[:-1].tolist())):
            self.register_buffer(name, torch.tensor(values, dtype=torch.int64), persistent=False)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """The columns of ``numbers`` float64 [rows, n] and ``codes`` int64 [rows, c]."""
        plain, places = self.parts(numbers, codes)
        return torch.cat([plain, self.means[places].flatten(1)], dim=1)

    def parts(self, numbers: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """The columns of numbers and codes, and the row of ``means`` for each category of more than two levels."""
        (scaling,) = self._scaling
        missing, bounded = scaling.bounded(numbers)
        plain = (bounded - scaling.median).clamp(-_LARGEST, _LARGEST).float()
        plain = torch.where(plain.abs() < _SMALLEST, 0.0, plain)
        every = scaling.all_codes(numbers, codes)
        plain = torch.cat([torch.where(missing, torch.nan, plain), every.float()], dim=1)
        return plain, every.index_select(1, self.many) + self.starts


def fit_columns(
    scaling: Scaling, cardinalities: Sequence[int], train: Sample, classes: int, seed: int
) -> tuple[Columns, Tensor]:
    """Learn the average targets of the categories; and the columns of the training rows themselves.

    Those come from folds that the rows are not part of: with their own target in it, an average would look more
    telling than it is.

    Args:
        scaling: Of the network.
        cardinalities: How many codes each category has.
        train: The training rows; a regression target is given in standard deviations.
        classes: The number of classes; 1 for regression.
        seed: Decides the folds.
    """
    told = _told(train.target, classes)
    columns = Columns(scaling, cardinalities, classes)
    plain, places = columns.parts(train.inputs.numbers, train.inputs.codes)
    rows = _Rows(places.numpy(), told, train.each_weight, len(columns.means))
    own = np.empty((len(train), places.shape[1], told.shape[1]), dtype=np.float32)
    if places.shape[1]:
        folds = KFold(min(_FOLDS, len(train)), shuffle=True, random_state=seed)
        for others, fold in folds.split(told):
            own[fold] = rows.means(others)[rows.places[fold]]
        columns.means.copy_(torch.from_numpy(rows.means(np.arange(len(train)))))
    return columns, torch.cat([plain, torch.from_numpy(own).flatten(1)], dim=1)


class _Rows:
    """Training rows, each with its place among the codes of every category."""

    def __init__(self, places: NDArray[np.int64], told: Floats, weights: NDArray[np.float64], codes: int) -> None:
        self.places, self._told, self._weights, self._codes = places, told, weights, codes

    def means(self, rows: NDArray[np.intp]) -> Floats:
        """The average target of every code in these rows, mixed with ``SMOOTHING`` rows of the average of all."""
        weights, told = self._weights[rows], self._told[rows].astype(np.float64)
        overall = np.average(told, axis=0, weights=weights) if weights.any() else told.mean(0)
        places = self.places[rows]
        each = np.repeat(weights, places.shape[1])
        counts = np.bincount(places.ravel(), each, minlength=self._codes)
        sums = [
            np.bincount(places.ravel(), each * np.repeat(column, places.shape[1]), minlength=self._codes)
            for column in told.T
        ]
        means = (np.stack(sums, axis=1) + SMOOTHING * overall) / (counts[:, None] + SMOOTHING)
        return np.asarray(means, dtype=np.float32)


def _told(target: NDArray[Any], classes: int) -> Floats:
    """What categories are averaged over: the target, whether it is the second class, or which class it is."""
    told = target.reshape(-1, 1) if classes <= 2 else np.eye(classes)[target]
    return np.asarray(told, dtype=np.float32)
