"""The input matrix of every estimator except the network: float32, with NaN for a missing number."""

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

#: A category with at most this many codes, including unknown, needs no target encoding: its code says everything.
MAX_ORDERED_CODES = 3

#: The number of folds of the cross-fitted target encoding.
_FOLDS = 5

#: A number with a larger magnitude is infinite in float32; LightGBM treats a number with a smaller magnitude as 0.
_MAX_MAGNITUDE, _MIN_MAGNITUDE = 3e38, 1e-30

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Matrix:
    """Rows in the form of an estimator's inputs, with their targets.

    Attributes:
        values: float32 [rows, columns] from :class:`Columns`.
        target: The target of each row [rows], in the form that ``transform_target`` of the heads returns.
        weights: The weight of each row, float64 [rows]; None if all rows weigh the same.
    """

    values: Tensor
    target: NDArray[Any]
    weights: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.values)


class Columns(nn.Module):
    """Convert the inputs of a model to the columns of the matrix.

    Numbers are clamped as for the network, and given relative to their median, so that float32 distinguishes
    neighbours. Codes are columns too, because the order of levels often carries information. Categories with more than
    two levels are also target-encoded: one column per class, or one for regression or two classes.

    Args:
        scaling: The scaling of the model, for its bounds, medians and calendar parts.
        cardinalities: The number of codes of every code column.
        outputs: The number of outputs of the model: one per class, or 1 for regression.
    """

    means: Tensor
    encoded: Tensor
    offsets: Tensor

    def __init__(self, scaling: Scaling, cardinalities: Sequence[int], outputs: int) -> None:
        super().__init__()
        self._scaling = (scaling,)
        categories = len(cardinalities) - scaling.layout.datetimes - scaling.layout.booleans
        encoded = [index for index, codes in enumerate(cardinalities[:categories]) if codes > MAX_ORDERED_CODES]
        offsets = np.cumsum([0, *(cardinalities[index] for index in encoded)])
        self.register_buffer("means", torch.zeros(int(offsets[-1]), 1 if outputs <= 2 else outputs))
        for name, values in (("encoded", encoded), ("offsets", offsets[:-1].tolist())):
            self.register_buffer(name, torch.tensor(values, dtype=torch.int64), persistent=False)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Convert ``numbers`` float64 [rows, n] and ``codes`` int64 [rows, c] to float32 [rows, columns]."""
        plain, means_rows = self.parts(numbers, codes)
        return torch.cat([plain, self.means[means_rows].flatten(1)], dim=1)

    def parts(self, numbers: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the columns without target encoding, and the rows of ``means`` that encode the categories.

        Args:
            numbers: float64 [rows, n].
            codes: int64 [rows, c].

        Returns:
            float32 [rows, columns], and int64 [rows, target-encoded categories].
        """
        (scaling,) = self._scaling
        missing, clamped = scaling.imputed_and_clamped(numbers)
        plain = (clamped - scaling.median).clamp(-_MAX_MAGNITUDE, _MAX_MAGNITUDE).float()
        plain = torch.where(plain.abs() < _MIN_MAGNITUDE, 0.0, plain)
        all_codes = scaling.all_codes(numbers, codes)
        plain = torch.cat([torch.where(missing, torch.nan, plain), all_codes.float()], dim=1)
        return plain, all_codes.index_select(1, self.encoded) + self.offsets


def fit_columns(
    scaling: Scaling, cardinalities: Sequence[int], train: Sample, classes: int, seed: int
) -> tuple[Columns, Tensor]:
    """Fit the target encoding of the categories, and return the matrix of the training rows.

    The encoding of the training rows is cross-fitted: each row is encoded by the means of the folds that do not contain
    it. A mean that contained the row's own target would seem more predictive than it is.

    Args:
        scaling: The scaling of the model.
        cardinalities: The number of codes of each code column.
        train: The training rows, with the target that ``transform_target`` of the heads returns.
        classes: The number of classes; 1 for regression.
        seed: Determines the folds.

    Returns:
        The fitted columns, and the cross-fitted matrix of the training rows, float32 [rows, columns].
    """
    targets = _target_columns(train.target, classes)
    columns = Columns(scaling, cardinalities, classes)
    plain, means_rows = columns.parts(train.inputs.numbers, train.inputs.codes)
    rows = _EncodedRows(means_rows.numpy(), targets, train.row_weights, len(columns.means))
    cross_fitted = np.empty((len(train), means_rows.shape[1], targets.shape[1]), dtype=np.float32)
    if means_rows.shape[1]:
        folds = KFold(min(_FOLDS, len(train)), shuffle=True, random_state=seed)
        for other_folds, fold in folds.split(targets):
            cross_fitted[fold] = rows.means(other_folds)[rows.means_rows[fold]]
        columns.means.copy_(torch.from_numpy(rows.means(np.arange(len(train)))))
    return columns, torch.cat([plain, torch.from_numpy(cross_fitted).flatten(1)], dim=1)


class _EncodedRows:
    """Training rows with the row of ``means`` that each of their categories belongs to."""

    def __init__(
        self, means_rows: NDArray[np.int64], targets: Floats, weights: NDArray[np.float64], codes: int
    ) -> None:
        self.means_rows, self._targets, self._weights, self._codes = means_rows, targets, weights, codes

    def means(self, rows: NDArray[np.intp]) -> Floats:
        """Return the mean target of every code in these rows, with ``SMOOTHING`` rows of the overall mean added."""
        weights, targets = self._weights[rows], self._targets[rows].astype(np.float64)
        overall = np.average(targets, axis=0, weights=weights) if weights.any() else targets.mean(0)
        means_rows = self.means_rows[rows]
        repeated_weights = np.repeat(weights, means_rows.shape[1])
        counts = np.bincount(means_rows.ravel(), repeated_weights, minlength=self._codes)
        sums = [
            np.bincount(
                means_rows.ravel(), repeated_weights * np.repeat(column, means_rows.shape[1]), minlength=self._codes
            )
            for column in targets.T
        ]
        means = (np.stack(sums, axis=1) + SMOOTHING * overall) / (counts[:, None] + SMOOTHING)
        return np.asarray(means, dtype=np.float32)


def _target_columns(target: NDArray[Any], classes: int) -> Floats:
    """Return the target as columns [rows, columns]: one for regression or two classes, else one indicator per class."""
    columns = target.reshape(-1, 1) if classes <= 2 else np.eye(classes)[target]
    return np.asarray(columns, dtype=np.float32)
