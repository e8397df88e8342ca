"""model.yaml: what a data scientist says about a model before it is trained."""

import re
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from model_deployer.contract.contract import Limits
from model_deployer.contract.errors import SpecError
from model_deployer.contract.evaluation import SplitMethod
from model_deployer.contract.prediction_shift import TOLERANCE
from model_deployer.contract.yaml_source import KeyPath, YamlSource, dotted, read_yaml, validation_messages

#: A share of the rows, or the instant at which a part begins.
Boundary = float | datetime

#: The metrics of evaluation.json.
ClassificationMetric = Literal[
    "log_loss",
    "roc_auc",
    "average_precision",
    "brier",
    "calibration_error",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "cost",
    "coverage",
    "set_size",
]
RegressionMetric = Literal["rmse", "mae", "median_absolute_error", "r2", "coverage", "interval_width"]
CountMetric = Literal["poisson_deviance", RegressionMetric]
QuantileMetric = Literal["pinball", "share_below", "coverage", "interval_width"]
MetricName = Literal[ClassificationMetric, RegressionMetric, CountMetric, QuantileMetric]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Data(_Section):
    """The table.

    Attributes:
        path: A file, or a glob of files of one schema; relative to the folder of model.yaml.
        format: ``auto`` goes by the file's suffix.
        target: The column to predict.
        time: The column that says when a row happened.
        group: The column whose rows belong together, such as a customer; no group is ever in two parts of a split.
        weight: The column that says how much a row counts.
        ignore: Columns that nothing is learnt from.
        rows_in_memory: Rows of Parquet files that are held in memory, drawn at random: all is learnt and measured on
            them, but the network learns from the other rows too. None is all.
    """

    path: str = Field(min_length=1)
    format: Literal["auto", "csv", "parquet", "arrow", "jsonl"] = "auto"
    target: str
    time: str | None = None
    group: str | None = None
    weight: str | None = None
    ignore: tuple[str, ...] = ()
    rows_in_memory: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_role_a_column(self) -> "Data":
        shared = {self.time, self.group}  # a column may be both the time and the group
        taken = [name for name in (self.target, self.weight, *shared, *self.ignore) if name is not None]
        for name in taken:
            if taken.count(name) > 1:
                raise ValueError(f"the column '{name}' has two roles; keep one of them")
        return self


class FeatureOverride(_Section):
    """What is said of one feature; what is left out is taken from the data. The fields are those of a contract's."""

    kind: Literal["numeric", "integer", "boolean", "categorical", "datetime", "text"] | None = None
    description: str | None = None
    unit: str | None = None
    required: bool | None = None
    missing: Literal["reject", "impute"] | None = None
    minimum: float | None = None
    maximum: float | None = None
    out_of_range: Literal["reject", "clamp"] | None = None
    categories: tuple[str, ...] | None = None
    unknown: Literal["reject", "accept"] | None = None
    longest: int | None = Field(default=None, ge=1)
    example: Any = None


class SplitSpec(_Section):
    """How rows are divided into training, validation and test.

    Attributes:
        method: None is ``time`` where ``data.time`` is given, else ``group`` where ``data.group`` is, else
            ``stratified`` for classification and ``random`` for regression.
        validation: The share of rows, or with ``time`` the first instant, of the validation part.
        test: The same of the test part.
    """

    method: SplitMethod | None = None
    validation: Boundary = 0.15
    test: Boundary = 0.15

    @field_validator("validation", "test", mode="plain")
    @classmethod
    def _share_or_instant(cls, value: Any) -> Boundary:
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                value = None
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime.combine(value, time())
        if isinstance(value, datetime):
            return value
        if isinstance(value, int | float) and 0 < value < 1:
            return float(value)
        raise ValueError("expected a share between 0 and 1, or a date such as 2013-11-01")

    @model_validator(mode="after")
    def _parts_in_order(self) -> "SplitSpec":
        if isinstance(self.validation, float) and isinstance(self.test, float):
            if self.validation + self.test >= 1:
                raise ValueError("`validation` and `test` leave nothing to train on; their sum must be below 1")
            return self
        if isinstance(self.validation, float) or isinstance(self.test, float):
            raise ValueError("`validation` and `test` have to be two shares or two dates")
        if (self.validation.tzinfo is None) != (self.test.tzinfo is None):
            raise ValueError("`validation` and `test` have to be both with an offset or both without")
        if self.validation >= self.test:
            raise ValueError("`validation` has to begin before `test`")
        return self


#: What ``estimator.name`` may be beside the import path of a class built like those of scikit-learn.
ESTIMATORS = ("auto", "linear", "lightgbm", "xgboost", "random_forest", "histogram_boosting", "tabm", "mlp")

#: Those that are fitted by gradient.
NETWORKS = ("tabm", "mlp")


class Estimator(_Section):
    """The model and how it is fitted.

    From ``accelerator`` on, all is about the network, TabM-mini (Gorishniy et al., "TabM", ICLR 2025).

    Attributes:
        name: One of ``ESTIMATORS``, or an import path such as ``sklearn.svm.SVC``. ``auto`` tries a linear model,
            boosted trees, the network ``tabm`` and a blend of the better network with the trees, and takes what is best
            on the validation part. ``mlp`` is a network of one member, for the least latency.
        parameters: What the class of an estimator other than the networks and ``linear`` is made with, in the terms of
            its own library; a search does not touch them.
        budget_seconds: What fitting may take, of the clock. None is a plan from the size of the table, which is the
            same on every machine.
        refit: Whether the chosen model is fitted again on the training and validation rows together, before the test;
            what the validation rows decided (parameters, epochs, calibration, interval) stays.
        trials: Sets of parameters that are tried for LightGBM and XGBoost; None is planned.
        accelerator: What the network is fitted on; ``auto`` is a GPU where there is one, else the CPU.
        devices: Processes that fit it on each machine, every one with a GPU or core of its own; ``auto`` is one for
            every GPU.
        nodes: Machines that fit it together; each process is started by torchrun or SLURM.
        members: Networks in the ensemble, which share most of their weights; None is 8, or 32 on a GPU.
        width: Neurons of a hidden layer.
        blocks: Hidden layers.
        embedding: Numbers that one feature is turned into.
        dropout: Share of neurons that are silenced in a training step.
        learning_rate: Of AdamW.
        weight_decay: Of AdamW.
        batch_size: Rows of one training step; None is planned from the number of rows.
        epochs: Passes over the training rows; None is planned.
        patience: Epochs without improvement on the validation part after which training ends.
    """

    name: str = "auto"
    parameters: dict[str, Any] = {}
    budget_seconds: float | None = Field(default=None, gt=0)
    refit: bool = True
    trials: int | None = Field(default=None, ge=1, le=1000)
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int | Literal["auto"] = 1
    nodes: int = Field(default=1, ge=1)
    members: int | None = Field(default=None, ge=1, le=256)
    width: int = Field(default=256, ge=1, le=8192)
    blocks: int = Field(default=2, ge=1, le=32)
    embedding: int = Field(default=16, ge=1, le=512)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=3e-4, ge=0)
    batch_size: int | None = Field(default=None, ge=1)
    epochs: int | None = Field(default=None, ge=1)
    patience: int = Field(default=16, ge=1)

    @field_validator("name")
    @classmethod
    def _known_or_importable(cls, name: str) -> str:
        if name in ESTIMATORS or re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", name):
            return name
        raise ValueError(f"expected {', '.join(ESTIMATORS)}, or an import path such as sklearn.svm.SVC")

    @field_validator("devices", mode="plain")
    @classmethod
    def _count_or_auto(cls, value: Any) -> int | Literal["auto"]:
        if value == "auto" or (type(value) is int and value >= 1):
            return cast(int | Literal["auto"], value)
        raise ValueError("expected a number of at least 1, or `auto`")

    @model_validator(mode="after")
    def _parameters_have_an_estimator(self) -> "Estimator":
        if self.parameters and self.name in {"auto", "linear", *NETWORKS}:
            raise ValueError(f"`parameters` are for an estimator of another library, not for `name: {self.name}`")
        return self


class Cost(_Section):
    """What the two errors of a two-label decision cost, in any one unit; only their ratio matters.

    Attributes:
        false_positive: Of deciding for ``positive`` when it is not.
        false_negative: Of deciding against it when it is.
    """

    false_positive: float = Field(default=1, gt=0)
    false_negative: float = Field(default=1, gt=0)


class Bound(_Section):
    """What a metric of the model may be; the bounds themselves are allowed.

    Attributes:
        at_least: The lowest value, for what is better when high.
        at_most: The highest value, for what is better when low.
    """

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _not_a_bare_number(cls, value: Any) -> Any:
        if isinstance(value, int | float):
            raise ValueError(f"expected `{{at_least: {value}}}` or `{{at_most: {value}}}`")
        return value

    @model_validator(mode="after")
    def _leaves_something(self) -> "Bound":
        if self.at_least is None and self.at_most is None:
            raise ValueError("expected `at_least`, `at_most` or both")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("no value is both `at_least` and `at_most` what they say; swap them")
        return self


class Gates(_Section):
    """What a trained model has to fulfil to get into the store, measured on the test part.

    Attributes:
        metrics: The bounds of metrics, by the names they have in evaluation.json.
        better_than_linear: Whether the task's loss, such as log_loss or rmse, has to be lower than the linear
            baseline's; see ``LOSS`` of :mod:`contract.metric_catalog`.
        slice_gap: How much higher that loss may be in the worst slice than in all rows, as a share of it.
        slice_calibration: The highest calibration error in a slice, or how far the share of a regression's intervals
            that hold the truth may be from what is promised; what chance alone may make does not count.
        size_mb: The largest model.onnx, in millions of bytes.
        p99_ms: The longest that 99 of 100 answers to one row may take, in milliseconds on one thread.
    """

    metrics: dict[MetricName, Bound] = {}
    better_than_linear: bool = False
    slice_gap: float | None = Field(default=None, gt=0)
    slice_calibration: float | None = Field(default=None, gt=0, lt=1)
    size_mb: float | None = Field(default=None, gt=0)
    p99_ms: float | None = Field(default=None, gt=0)


class LimitsSpec(Limits):
    """The limits of one request, without room for a misspelt key."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Spec(_Section):
    """A model.yaml.

    Attributes:
        name: The model's name in the store.
        description: What it predicts, in a sentence.
        business_context: Who decides what with it.
        owner: Whom to ask.
        license: Under which its use is allowed.
        data: The table.
        task: ``auto`` is decided from the target column: ``classification`` or ``regression``.
        quantile: Under ``task: quantile``, the share of cases in which the truth is to stay at or below the answer, by
            default 0.5; None under another task.
        features: What is said of single features, by column.
        split: How rows are divided.
        estimator: The model and how it is fitted.
        seed: Of everything that is drawn at random.
        positive: With two labels, the one that is looked for; None is the last in sorted order.
        cost: What the two errors of a two-label decision cost.
        unit: The unit of measure of a target that is no class.
        strict: Whether a leaking column ends the run.
        tolerance: How far behaviour may move in a patch: the share of golden decisions that may flip, and the mean
            change of a probability, or of a value in standard deviations. A model that moves further is a minor step.
        slices: Columns whose values are reported as slices, beside those that are found; learnt from or not.
        gates: What the trained model has to fulfil to be saved.
        limits: How much one request may ask for.
    """

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$", max_length=63)
    description: str | None = None
    business_context: str | None = None
    owner: str | None = None
    license: str | None = None
    data: Data
    task: Literal["auto", "classification", "regression", "count", "quantile"] = "auto"
    quantile: float | None = Field(default=None, gt=0, lt=1, validate_default=True)
    features: dict[str, FeatureOverride] = {}
    split: SplitSpec = SplitSpec()
    estimator: Estimator = Estimator()
    seed: int = Field(default=0, ge=0, lt=2**32)
    positive: str | None = None
    cost: Cost = Cost()
    unit: str | None = None
    strict: bool = False
    tolerance: float = Field(default=TOLERANCE, ge=0)
    slices: tuple[str, ...] = ()
    gates: Gates = Gates()
    limits: LimitsSpec = LimitsSpec()
    _source: YamlSource | None = PrivateAttr(default=None)

    @field_validator("positive", mode="before")
    @classmethod
    def _as_label(cls, value: Any) -> Any:
        """`positive: true` or `positive: 1` in YAML mean the labels "true" and "1"."""
        if isinstance(value, bool):
            return str(value).lower()
        return str(value) if isinstance(value, int) else value

    @field_validator("quantile")
    @classmethod
    def _of_its_task(cls, value: float | None, info: ValidationInfo) -> float | None:
        if info.data.get("task") == "quantile":
            return 0.5 if value is None else value
        if value is not None and "task" in info.data:
            raise ValueError("only for `task: quantile`")
        return value

    @model_validator(mode="after")
    def _split_has_its_column(self) -> "Spec":
        if self.split.method == "time" and self.data.time is None:
            raise ValueError("`split.method: time` needs the column named under `data.time`")
        if self.split.method == "group" and self.data.group is None:
            raise ValueError("`split.method: group` needs the column named under `data.group`")
        if isinstance(self.split.test, datetime) and not self.by_time:
            raise ValueError("dates under `split` need `split.method: time` and `data.time`")
        return self

    @model_validator(mode="after")
    def _calibration_has_its_slices(self) -> "Spec":
        if self.gates.slice_calibration is not None and not self.slices:
            raise ValueError("`gates.slice_calibration` needs the columns that are to be judged, under `slices`")
        return self

    @model_validator(mode="after")
    def _no_clock_for_a_stream(self) -> "Spec":
        if self.data.rows_in_memory is not None and self.estimator.budget_seconds is not None:
            raise ValueError(
                "`estimator.budget_seconds` cannot be kept where rows are read from files, as `data.rows_in_memory` "
                "has it; say `epochs` and `trials` instead"
            )
        return self

    @property
    def by_time(self) -> bool:
        """Whether the test part is the latest part of the data."""
        return self.split.method == "time" or (self.split.method is None and self.data.time is not None)

    def place(self, *path: str | int) -> str:
        """Where a field stands, for a message: ``model.yaml:4: data.target``; without a file, only the field."""
        return self._source.location(path) if self._source else dotted(path)


def read_spec(path: Path) -> Spec:
    """Read a model.yaml.

    Raises:
        SpecError: It cannot be used; every reason that was found, a line each, in the order of the file.
    """
    source = read_yaml(
        path,
        absent="`deployer init` writes one for a table",
        empty="it needs at least `name`, `data.path` and `data.target`",
    )
    try:
        spec = Spec.model_validate(source.values)
    except ValidationError as error:
        raise SpecError("\n".join(validation_messages(error, source, _keys_at))) from None
    spec._source = source
    return spec


def _keys_at(path: KeyPath) -> list[str]:
    """The keys that are legal below a path."""
    if not path:
        return list(Spec.model_fields)
    if path[:2] == ("gates", "metrics"):
        return list(Bound.model_fields)
    section = FeatureOverride if path[0] == "features" else Spec.model_fields[str(path[0])].annotation
    return list(cast(type[BaseModel], section).model_fields)
