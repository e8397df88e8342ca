"""The numeric part of the preprocessing, as a torch module that is exported with the model."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from model_deployer.contract.features import Feature, Integer, Numeric
from model_deployer.training.preprocessing.preprocessing import Inputs, Preprocessor

DAY = 86_400.0

#: Mean length of a year, in days; the day of the year that follows from it differs from the calendar by at most about
#: a day. It is a sum of powers of two, because torch exports constants as float32: another number would be rounded.
YEAR = 365 + 31 / 128

#: 1970-01-01 was a Thursday; with Monday as 0 that is weekday 3.
FIRST_WEEKDAY = 3

#: The maximum distance from the median, in scales. There the smooth clip is flat in float32; the square of a much
#: larger number would overflow.
MAX_SCALES = 1e4

#: The maximum magnitude of a number, so that the difference of two numbers is a float64.
MAX_MAGNITUDE = 1e307


class Scaled(NamedTuple):
    """The inputs of the network.

    Attributes:
        numbers: float32 [rows, columns], each within (-3, 3).
        gaps: float32 [rows, columns with missing values in training], 1 if the value is missing.
        codes: int64 [rows, code columns], 0 for unknown.
    """

    numbers: Tensor
    gaps: Tensor
    codes: Tensor


class Layout(BaseModel):
    """The number of input columns of each type, and the calendar parts to extract from datetimes.

    Attributes:
        plain: The number of numeric, target-encoded and text columns.
        datetimes: The number of columns with seconds since 1970-01-01.
        booleans: The number of columns with 1, 0 or NaN.
        season: Whether to extract the day of the year and the time itself. That is only right if predictions are made
            for times within the range of the training rows.
        gaps: The indices of the number columns, including calendar parts, that have missing values in training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    plain: int
    datetimes: int
    booleans: int
    season: bool
    gaps: tuple[int, ...] = ()

    @property
    def numbers(self) -> int:
        """The number of number columns, including calendar parts."""
        return self.plain + self.datetimes * (3 if self.season else 1)


class Scaling(nn.Module):
    """Extract calendar parts, impute the median, clamp to the training range, scale robustly and clip smoothly.

    Everything before the scaling is float64, so that integers such as 20130101 and 20130102 stay distinct. The clip
    ``z / sqrt(1 + (z / 3)^2)`` is that of RealMLP (Holzmüller et al., 2024, "Better by default"). The clamp prevents
    that piecewise-linear embeddings extrapolate.
    """

    median: Tensor
    low: Tensor
    high: Tensor
    scale: Tensor
    gaps: Tensor

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        for name in ("median", "low", "high", "scale"):
            self.register_buffer(name, torch.ones(layout.numbers, dtype=torch.float64))
        self.register_buffer("gaps", torch.tensor(layout.gaps, dtype=torch.int64), persistent=False)

    def forward(self, numbers: Tensor, codes: Tensor) -> Scaled:
        """Scale ``numbers`` float64 [rows, n], and append weekdays and booleans to ``codes`` int64 [rows, c]."""
        missing, clamped = self.imputed_and_clamped(numbers)
        z = ((clamped - self.median) / self.scale).float()
        smooth = z / torch.sqrt(1 + (z / 3) ** 2)
        gaps = missing.index_select(1, self.gaps).float()
        return Scaled(smooth, gaps, self.all_codes(numbers, codes))

    def imputed_and_clamped(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return numbers and calendar parts before the scaling.

        Args:
            numbers: float64 [rows, n].

        Returns:
            Whether each is missing, bool [rows, columns]; and the numbers with the median for a missing one, clamped to
            the training range, float64 [rows, columns].
        """
        plain, times, _ = self._parts(numbers)
        raw = torch.cat([plain, *self._calendar_parts(times)], dim=1)
        missing = torch.isnan(raw)
        return missing, torch.where(missing, self.median, raw).clamp(self.low, self.high)

    def all_codes(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Return the codes of categories, weekdays and booleans, int64 [rows, code columns]."""
        _, times, booleans = self._parts(numbers)
        return torch.cat([codes, _weekday_codes(times), _boolean_codes(booleans)], dim=1)

    def _parts(self, numbers: Tensor) -> Sequence[Tensor]:
        layout = self.layout
        return torch.split(numbers, [layout.plain, layout.datetimes, layout.booleans], dim=1)

    def _calendar_parts(self, times: Tensor) -> list[Tensor]:
        if not self.layout.datetimes:
            return []
        days = times / DAY
        hour = (days - days.floor()) * 24
        if not self.layout.season:
            return [hour]
        years = days / YEAR
        return [hour, (years - years.floor()) * YEAR, times]


def _weekday_codes(times: Tensor) -> Tensor:
    """Return 1 for Monday to 7 for Sunday, 0 if the time is missing."""
    days = (times / DAY).floor() + FIRST_WEEKDAY
    weekday = days - (days / 7).floor() * 7
    return _to_codes(weekday + 1)


def _boolean_codes(booleans: Tensor) -> Tensor:
    """Return 1 for false, 2 for true, 0 for missing."""
    return _to_codes(booleans + 1)


def _to_codes(numbers: Tensor) -> Tensor:
    return torch.where(torch.isnan(numbers), 0.0, numbers).long()


def fit_scaling(preprocessor: Preprocessor, features: Sequence[Feature], inputs: Inputs, season: bool) -> Scaling:
    """Fit medians, ranges and scales on the training rows.

    Args:
        preprocessor: The preprocessing that made ``inputs``.
        features: The features; their minimum and maximum narrow the range that values are clamped to.
        inputs: The training rows.
        season: Whether the day of the year and the time itself are inputs; they must not be under a split by time.
    """
    layout = Layout(
        plain=inputs.numbers.shape[1] - len(preprocessor.datetimes) - len(preprocessor.booleans),
        datetimes=len(preprocessor.datetimes),
        booleans=len(preprocessor.booleans),
        season=season,
    )
    draft = Scaling(layout)
    plain, times, _ = draft._parts(inputs.numbers)
    raw = torch.cat([plain, *draft._calendar_parts(times)], dim=1)
    scaling = Scaling(layout.model_copy(update={"gaps": tuple(torch.isnan(raw).any(dim=0).nonzero()[:, 0].tolist())}))
    by_name = {feature.name: feature for feature in features}
    for column in range(layout.numbers):
        name = preprocessor.numeric[column] if column < len(preprocessor.numeric) else None
        _fit_column(scaling, column, raw[:, column], _bounds(by_name, name))
    return scaling


def _bounds(features: Mapping[str, Any], name: str | None) -> tuple[float, float]:
    feature = features.get(name or "")
    low, high = -MAX_MAGNITUDE, MAX_MAGNITUDE
    if isinstance(feature, Numeric | Integer):
        low = low if feature.minimum is None else max(low, float(feature.minimum))
        high = high if feature.maximum is None else min(high, float(feature.maximum))
    return low, high


def _fit_column(scaling: Scaling, column: int, values: Tensor, bounds: tuple[float, float]) -> None:
    present = values[~torch.isnan(values)].clamp(*bounds)
    if not len(present):
        present = torch.zeros(1, dtype=torch.float64)
    ordered = present.sort().values
    last = len(ordered) - 1
    lower, median, upper = (ordered[round(last * share)] for share in (0.25, 0.5, 0.75))
    scale = _spread(upper - lower, ordered[-1] - ordered[0])
    scaling.median[column], scaling.scale[column] = median, scale
    scaling.low[column] = ordered[0].clamp_min(median - MAX_SCALES * scale)
    scaling.high[column] = ordered[-1].clamp_max(median + MAX_SCALES * scale)


def _spread(interquartile_range: Tensor, full_range: Tensor) -> Tensor:
    """Return the interquartile range; half the range if most values are the same; 1 for a constant column."""
    spreads = torch.stack([interquartile_range, full_range / 2, torch.ones_like(full_range)])
    return spreads[spreads > 0][0]
