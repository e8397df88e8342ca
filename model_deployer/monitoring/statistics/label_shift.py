"""How the shares of the labels have changed, before labels arrive, from the predictions.

It assumes that rows of one label look as before: p(x | y) is fixed, and only p(y) moved. Then live predictions are a
mixture of the predictions for each label in the evaluation, and the shares of the mixture are those of the labels
(Lipton, Wang, Smola, "Detecting and correcting for label shift with black box predictors", arXiv 1802.03916). They are
estimated by maximum likelihood over cells of predictions, or of calibrated probabilities (Saerens, Latinne,
Decaestecker, 2002, "Adjusting the outputs of a classifier to new a priori probabilities"; compared in Garg et al.,
arXiv 2003.07554). Whether a mixture explains the live predictions at all is checked: if not, the estimate has no
meaning.
"""

from dataclasses import dataclass

import numpy as np

from model_deployer.monitoring.statistics.blocks import resampled_rows
from model_deployer.monitoring.statistics.estimate import SAMPLES
from model_deployer.monitoring.statistics.evidence import Floats, Ints

#: The steps of the EM algorithm, and the change of a share below which it ends.
_STEPS, _PRECISION = 2000, 1e-8

#: What is added to the count of each cell: a cell that no row of a label was in is not impossible.
_PRIOR_COUNT = 0.5


@dataclass(frozen=True)
class EvaluatedPredictions:
    """Predictions for rows with labels, of the evaluation.

    Attributes:
        cells: The cell of each prediction, int64 [rows], from 0: the predicted label or, better, a bin of the
            probability, with more bins than labels.
        labels: The true label of each row, int64 [rows], from 0.
        blocks: The block of each row, int64 [rows].
    """

    cells: Ints
    labels: Ints
    blocks: Ints


@dataclass(frozen=True)
class LabelShift:
    """What live predictions say about the labels.

    Attributes:
        before: The share of each label in the evaluation, float64 [labels].
        shares: The estimated live share of each label, float64 [labels].
        low, high: The ends of its bootstrap interval over blocks, float64 [labels], for one look.
        misfit: The share of live predictions that no mixture explains, from 0 to 1.
        is_consistent: Whether the misfit is one that resampled blocks of the evaluation have, too. If not, rows of one
            label do not look as before, and the estimate has no meaning.
    """

    before: Floats
    shares: Floats
    low: Floats
    high: Floats
    misfit: float
    is_consistent: bool


def label_shift(
    evaluated: EvaluatedPredictions, cells: Ints, blocks: Ints, alpha: float = 0.05, seed: int = 0
) -> LabelShift:
    """Return the live shares of the labels.

    Args:
        evaluated: The predictions for rows with labels.
        cells: The cell of each live prediction, int64 [rows].
        blocks: The block of each live row, int64 [rows].
        alpha: The probability that an interval is wrong.
        seed: The seed of the bootstrap.
    """
    random = np.random.default_rng(seed)
    shape = (int(max(evaluated.cells.max(), cells.max())) + 1, int(evaluated.labels.max()) + 1)
    everything = np.arange(len(evaluated.cells))
    likelihoods = _likelihoods(evaluated, everything, shape)
    counts = np.bincount(cells, minlength=shape[0]).astype(np.float64)
    shares = mixture_shares(likelihoods, counts)
    misfit = _misfit(likelihoods, counts, shares)
    before = np.bincount(evaluated.labels, minlength=shape[1]) / len(everything)
    samples, misfits = [], []
    for _ in range(SAMPLES):
        resampled = _likelihoods(evaluated, resampled_rows(evaluated.blocks, random), shape)
        live = np.bincount(cells[resampled_rows(blocks, random)], minlength=shape[0]).astype(np.float64)
        samples.append(mixture_shares(resampled, live))
        rows = _rows_like(evaluated.blocks, len(np.unique(blocks)), random)
        weights = (shares / np.maximum(before, 1e-12))[evaluated.labels[rows]]
        expected = np.asarray(np.bincount(evaluated.cells[rows], weights, minlength=shape[0]), np.float64)
        misfits.append(_misfit(resampled, expected, mixture_shares(resampled, expected)))
    low, high = np.quantile(samples, [alpha / 2, 1 - alpha / 2], axis=0)
    return LabelShift(before, shares, low, high, misfit, bool(misfit <= np.quantile(misfits, 1 - alpha)))


def label_shares(probabilities: Floats, before: Floats) -> Floats:
    """Return the live share of each label from calibrated probabilities, float64 [labels], without an interval.

    Args:
        probabilities: The probability of each label, float64 [rows, labels], calibrated for the shares ``before``.
        before: The share of each label in the rows that the probabilities are calibrated for, float64 [labels].
    """
    return mixture_shares(probabilities / before, np.ones(len(probabilities)))


def mixture_shares(likelihoods: Floats, counts: Floats) -> Floats:
    """Return the shares of a mixture with the highest likelihood, by the EM algorithm, float64 [components].

    Args:
        likelihoods: The probability of each cell in each component, float64 [cells, components].
        counts: The number of rows in each cell, float64 [cells].
    """
    components = likelihoods.shape[1]
    shares = np.full(components, 1 / components)
    weights = counts / counts.sum()
    for _ in range(_STEPS):
        joint = likelihoods * shares
        new = weights @ (joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-300))
        if np.abs(new - shares).max() < _PRECISION:
            return np.asarray(new)
        shares = new
    return shares


def _likelihoods(evaluated: EvaluatedPredictions, rows: Ints, shape: tuple[int, int]) -> Floats:
    """Return the probability of each cell for each label, [cells, labels]."""
    joint = np.zeros(shape)
    np.add.at(joint, (evaluated.cells[rows], evaluated.labels[rows]), 1)
    joint += _PRIOR_COUNT / shape[0]
    return np.asarray(joint / joint.sum(axis=0))


def _misfit(likelihoods: Floats, counts: Floats, shares: Floats) -> float:
    """Return the total variation distance between the counts and the mixture."""
    return float(np.abs(counts / counts.sum() - likelihoods @ shares).sum() / 2)


def _rows_like(blocks: Ints, number: int, random: np.random.Generator) -> Ints:
    """Return indices of the rows of a number of blocks, drawn with replacement."""
    drawn = [resampled_rows(blocks, random)]
    per_sample = len(np.unique(blocks))
    for _ in range(number // per_sample):
        drawn.append(resampled_rows(blocks, random))
    rows = np.concatenate(drawn)
    return rows[: max(1, round(len(blocks) * number / per_sample))]
