"""Raw numbers become what a network can learn from: the numeric half of the preprocessing, inside the graph."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from model_deployer.contract.features import Feature, Integer, Numeric
from model_deployer.training.preprocessing.preprocessing import Inputs, Preprocessor

DAY = 86_400.0

#: Mean length of a year, in days: what is read from it is at most about a day off the calendar. A sum of powers of two,
#: as the exporter of torch takes constants for float32: another number would not be the same in the graph.
YEAR = 365 + 31 / 128

#: 1970-01-01 was a Thursday; with Monday as 0 that is weekday 3.
FIRST_WEEKDAY = 3

#: Scales from the median beyond which the smooth clip is flat in float32; the square of much more would overflow.
REACH = 1e4


#: No number counts as more, so that the difference of two is a float64.
LARGEST = 1e307


class Scaled(NamedTuple):
    """What the network takes.

    Attributes:
        numbers: float32 [rows, columns], each within (-3, 3).
        gaps: float32 [rows, columns with gaps in training], 1 where the value is missing.
        codes: int64 [rows, categories], 0 for unknown.
    """

    numbers: Tensor
    gaps: Tensor
    codes: Tensor


class Layout(BaseModel):
    """How many columns of each sort arrive, and which calendar parts are read from datetimes.

    Attributes:
        plain: Numeric and target-encoded columns.
        datetimes: Columns of epoch seconds.
        booleans: Columns of 1, 0 or NaN.
        season: Read the day of the year and the time itself: right only where all times occur in training.
        gaps: The places of the number columns, calendar parts included, that had missing values in training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    plain: int
    datetimes: int
    booleans: int
    season: bool
    gaps: tuple[int, ...] = ()

    @property
    def numbers(self) -> int:
        """How many numbers come out."""
        return self.plain + self.datetimes * (3 if self.season else 1)


class Scaling(nn.Module):
    """Calendar parts, median imputation, clamp to the training range, robust scale and a smooth clip.

    Everything up to the scale is float64, so that integers such as 20130101 and 20130102 stay apart. The clip
    ``z / sqrt(1 + (z / 3)^2)`` is that of RealMLP (Holzmüller et al., 2024, "Better by default"). The clamp keeps
    piecewise-linear embeddings from extrapolating.
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
        """Scale ``numbers`` float64 [rows, n] and complete ``codes`` int64 [rows, c] by weekdays and booleans."""
        missing, bounded = self.bounded(numbers)
        z = ((bounded - self.median) / self.scale).float()
        smooth = z / torch.sqrt(1 + (z / 3) ** 2)
        gaps = missing.index_select(1, self.gaps).float()
        return Scaled(smooth, gaps, self.all_codes(numbers, codes))

    def bounded(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers and calendar parts before the scale, float64: where they are missing, and what stands for them."""
        plain, times, _ = self._parts(numbers)
        raw = torch.cat([plain, *self._clock(times)], dim=1)
        missing = torch.isnan(raw)
        return missing, torch.where(missing, self.median, raw).clamp(self.low, self.high)

    def all_codes(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """The codes of categories, weekdays and booleans, int64."""
        _, times, booleans = self._parts(numbers)
        return torch.cat([codes, _weekdays(times), _states(booleans)], dim=1)

    def _parts(self, numbers: Tensor) -> Sequence[Tensor]:
        layout = self.layout
        return torch.split(numbers, [layout.plain, layout.datetimes, layout.booleans], dim=1)

    def _clock(self, times: Tensor) -> list[Tensor]:
        if not self.layout.datetimes:
            return []
        days = times / DAY
        hour = (days - days.floor()) * 24
        if not self.layout.season:
            return [hour]
        years = days / YEAR
        return [hour, (years - years.floor()) * YEAR, times]


def _weekdays(times: Tensor) -> Tensor:
    """1 for Monday to 7 for Sunday, 0 where the time is missing."""
    days = (times / DAY).floor() + FIRST_WEEKDAY
    weekday = days - (days / 7).floor() * 7
    return _whole(weekday + 1)


def _states(booleans: Tensor) -> Tensor:
    """1 for false, 2 for true, 0 for missing."""
    return _whole(booleans + 1)


def _whole(numbers: Tensor) -> Tensor:
    return torch.where(torch.isnan(numbers), 0.0, numbers).long()


def fit_scaling(preprocessor: Preprocessor, features: Sequence[Feature], inputs: Inputs, season: bool) -> Scaling:
    """Learn medians, ranges and scales from the training rows.

    Args:
        preprocessor: What made ``inputs``.
        features: Their stated bounds narrow the range that values are clamped to.
        inputs: The training rows.
        season: Whether the position in the year, and time itself, may be learnt from: not under a split by time.
    """
    layout = Layout(
        plain=inputs.numbers.shape[1] - len(preprocessor.datetimes) - len(preprocessor.booleans),
        datetimes=len(preprocessor.datetimes),
        booleans=len(preprocessor.booleans),
        season=season,
    )
    draft = Scaling(layout)
    plain, times, _ = draft._parts(inputs.numbers)
    raw = torch.cat([plain, *draft._clock(times)], dim=1)
    scaling = Scaling(layout.model_copy(update={"gaps": tuple(torch.isnan(raw).any(dim=0).nonzero()[:, 0].tolist())}))
    bounds = {feature.name: feature for feature in features}
    for column in range(layout.numbers):
        name = preprocessor.numeric[column] if column < len(preprocessor.numeric) else None
        _fit_column(scaling, column, raw[:, column], _bounds(bounds, name))
    return scaling


def _bounds(features: Mapping[str, Any], name: str | None) -> tuple[float, float]:
    feature = features.get(name or "")
    low, high = -LARGEST, LARGEST
    if isinstance(feature, Numeric | Integer):
        low = low if feature.minimum is None else max(low, float(feature.minimum))
        high = high if feature.maximum is None else min(high, float(feature.maximum))
    return low, high


def _fit_column(scaling: Scaling, column: int, values: Tensor, bounds: tuple[float, float]) -> None:
    known = values[~torch.isnan(values)].clamp(*bounds)
    if not len(known):
        known = torch.zeros(1, dtype=torch.float64)
    ordered = known.sort().values
    last = len(ordered) - 1
    lower, median, upper = (ordered[round(last * share)] for share in (0.25, 0.5, 0.75))
    scale = _spread(upper - lower, ordered[-1] - ordered[0])
    scaling.median[column], scaling.scale[column] = median, scale
    scaling.low[column] = ordered[0].clamp_min(median - REACH * scale)
    scaling.high[column] = ordered[-1].clamp_max(median + REACH * scale)


def _spread(quartiles: Tensor, whole: Tensor) -> Tensor:
    """The interquartile range; half the range of a column that mostly holds one value; 1 for a constant."""
    spreads = torch.stack([quartiles, whole / 2, torch.ones_like(whole)])
    return spreads[spreads > 0][0]
