"""The keys of model.yaml, their defaults, and the errors of a file that cannot be used.

:func:`read_spec` reads a model.yaml. The class :class:`Spec` and its sections document every key.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from model_deployer.adoption.interface import label_text
from model_deployer.contract import value_form
from model_deployer.contract.card import CardStatements
from model_deployer.contract.category_spelling import NormalizationStep
from model_deployer.contract.contract import Limits
from model_deployer.contract.errors import SpecError
from model_deployer.contract.evaluation import SplitMethod
from model_deployer.contract.features import CapturePolicy, Dimensions, check_dimensions
from model_deployer.contract.prediction_shift import TOLERANCE
from model_deployer.contract.source_runner import Meaning, Pixels
from model_deployer.contract.yaml_source import KeyPath, YamlSource, dotted, read_yaml, validation_messages

#: The size of a part as a share of the rows, or the instant when the part begins.
Boundary = float | datetime

#: The names of the metrics in evaluation.json, by task.
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


def _matching(pattern: str, expected: str) -> AfterValidator:
    """Return a validator of texts that match a pattern; the error says what was expected in words."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {expected}")
        return text

    return AfterValidator(check)


#: The cells of a sheet.
CellRange = Annotated[str, _matching(r"[A-Z]{1,3}[1-9]\d*:[A-Z]{1,3}[1-9]\d*", "a range of cells, such as A3:F200")]

#: The import path of a class.
ImportPath = Annotated[
    str,
    _matching(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", "the import path of a class, such as lightgbm.LGBMClassifier"),
]

#: The digest of the files of a source.
Digest = Annotated[
    str, _matching(r"sha256:[0-9a-f]{64}", "sha256: and 64 hexadecimal digits, as `deployer adopt` writes them")
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Data(_Section):
    """The table, and the role of its columns.

    Attributes:
        path: A file, a folder of files, or a glob of files with the same columns. A relative path starts at the folder
            of model.yaml, and ``~`` is the home of the user. A URL is that of a file on a web server, or of files in
            an object store.
        query: A query to read the table with, in place of files.
        connection: The database of the query: a URL as those of SQLAlchemy, or the path of an SQLite or DuckDB file.
            ``${NAME}`` is replaced by an environment variable. Without it, the query reads files, with DuckDB.
        table: For an SQLite or DuckDB file under ``path``, the name of the table.
        format: The format of the files; ``auto`` derives it from their first bytes.
        delimiter: For CSV, the character between values, or ``tab``. By default, it is inferred, as all keys up to
            ``footer_rows`` are.
        quote: For CSV, the character around values that hold delimiters, or ``none``.
        encoding: For text, the encoding, such as ``cp1252``.
        header_row: For CSV and Excel, the row with the names of the columns, counted from 1; 0 if there is none.
        footer_rows: For CSV and Excel, the number of rows at the end that are totals or notes, and are left out.
        sheet: For Excel, the name of the sheet.
        range: For Excel, the cells of the table with its header, such as ``B3:F200``.
        rename: New names of columns, by their names in the files. All other keys have the new names.
        where: A condition for the rows to keep, in the language of :mod:`training.data.expression`.
        drop_missing_target: Whether rows without a target are left out; otherwise they end the run.
        target: The column to predict. Of several, the first one; of an embedding, what it is called.
        targets: The columns that an adopted model predicts together, in its order.
        time: The column with the time of each row.
        group: The column of the customer, device or other unit that a row belongs to. A split by group keeps all rows
            of a group in one part.
        weight: The column with the weight of each row in training and in the metrics.
        ignore: Columns that are not features.
        formats: How the text of a column is read, where it is not the usual form of numbers, times or booleans: the
            number 1234.5 as the table writes it (``$1,234.5``, ``1.234,5 €``, ``1234.5%``), the directives of strftime
            (``%d/%m/%Y``), or the words for true and false (``yes/no``). What a column leaves open is found out.
        missing: Texts that mark a missing number, time or boolean, in addition to the usual ones such as NA and ``-``.
        rows_in_memory: The maximum number of rows in memory. If the Parquet files have more rows, a random sample of
            this size is used for everything, and the other rows only for the training of the network. By default, all
            rows are in memory.
    """

    path: str | None = Field(default=None, min_length=1)
    query: str | None = Field(default=None, min_length=1)
    connection: str | None = Field(default=None, min_length=1)
    table: str | None = None
    format: Literal["auto", "csv", "parquet", "arrow", "json", "jsonl", "excel", "sqlite", "duckdb"] = "auto"
    delimiter: str | None = None
    quote: str | None = None
    encoding: str | None = Field(default=None, min_length=1)
    header_row: int | None = Field(default=None, ge=0)
    footer_rows: int | None = Field(default=None, ge=0)
    sheet: str | None = None
    range: CellRange | None = None
    target: str
    targets: tuple[str, ...] = Field(default=(), min_length=2)
    time: str | None = None
    group: str | None = None
    weight: str | None = None
    ignore: tuple[str, ...] = ()
    rename: dict[str, str] = {}
    where: str | None = Field(default=None, min_length=1)
    drop_missing_target: bool = False
    formats: dict[str, str | None] = {}
    missing: tuple[str, ...] = ()
    rows_in_memory: int | None = Field(default=None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _first_target(cls, values: Any) -> Any:
        """Fill in the target of several."""
        targets = values.get("targets") if isinstance(values, dict) else None
        if not isinstance(targets, list) or not targets or "target" in values:
            return values
        return values | {"target": targets[0]}

    @field_validator("formats")
    @classmethod
    def _forms_can_be_read(cls, formats: dict[str, str | None]) -> dict[str, str | None]:
        for name, form in formats.items():
            try:
                if form is not None:
                    value_form.parse(form)
            except ValueError as error:
                raise ValueError(f"'{name}': {error}") from None
        return formats

    @field_validator("path", "connection")
    @classmethod
    def _no_password(cls, value: str | None) -> str | None:
        """Refuse a password: model.yaml is stored with the model."""
        password = r"(?i)://[^/@]*:(?!\$\{\w+\}@)[^/]*@|passw(or)?d=(?!\$\{)"
        if value is not None and re.search(password, value):
            raise ValueError("expected no password: the file is stored with the model; write ${NAME} in its place")
        return value

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        value = "\t" if value == "tab" else value
        if value is None or (len(value) == 1 and value.isascii() and value not in "\"'\r\n"):
            return value
        raise ValueError("expected one character, such as ';', or `tab`")

    @field_validator("quote")
    @classmethod
    def _one_character_or_none(cls, value: str | None) -> str | None:
        if value in (None, "none") or (len(str(value)) == 1 and str(value).isascii() and str(value).isprintable()):
            return value
        raise ValueError("expected one character, or `none`")

    @field_validator("range")
    @classmethod
    def _first_cell_first(cls, value: str | None) -> str | None:
        if value is not None:
            rows = [int(number) for number in re.findall(r"\d+", value)]
            if rows[0] >= rows[1]:
                raise ValueError("expected the upper left and the lower right cell, such as B3:F200")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> "Data":
        if self.path is not None and self.query is not None:
            raise ValueError("expected either `path` or `query`")
        if self.query is None and self.connection is not None:
            raise ValueError("`connection` needs `query`")
        if self.query is not None and self.rows_in_memory is not None:
            raise ValueError("`rows_in_memory` is for Parquet files, not for `query`")
        return self

    @property
    def has_table(self) -> bool:
        """Whether there is a table; only a model that was trained elsewhere can do without one."""
        return self.path is not None or self.query is not None

    @property
    def target_in_file(self) -> str:
        """The name of the target in the files, before columns are renamed; empty without a target."""
        return next((old for old, new in self.rename.items() if new == self.target), self.target) or ""

    @property
    def columns(self) -> frozenset[str]:
        """The columns that have a role, and those that are ignored."""
        roles = (self.target, *self.targets, self.time, self.group, self.weight)
        return frozenset([name for name in roles if name is not None]) | frozenset(self.ignore)

    @model_validator(mode="after")
    def _no_shape_of_a_stream(self) -> "Data":
        if self.rows_in_memory is not None and (self.rename or self.where or self.drop_missing_target):
            raise ValueError("`rename`, `where` and `drop_missing_target` cannot be combined with `rows_in_memory`")
        return self

    @property
    def shape(self) -> dict[str, Any]:
        """What changes the rows and names of the files: part of the version of the data."""
        return self.model_dump(include={"rename", "where", "drop_missing_target"}, exclude_defaults=True)

    @model_validator(mode="after")
    def _one_or_several_targets(self) -> "Data":
        if self.targets and self.target != self.targets[0]:
            raise ValueError("expected either `target` or `targets`")
        return self

    @model_validator(mode="after")
    def _one_role_per_column(self) -> "Data":
        time_and_group = {self.time, self.group}  # one column may be both
        targets = self.targets or (self.target,)
        columns = [name for name in (*targets, self.weight, *time_and_group, *self.ignore) if name is not None]
        for name in columns:
            if columns.count(name) > 1:
                raise ValueError(f"the column '{name}' has two roles; keep one of them")
        return self


class PixelsSpec(Pixels):
    """What becomes of the pixels of an image before a network; unlike that of a runner, it refuses an unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


#: The keys of an image, and the other keys that an image can have.
_IMAGE_KEYS = frozenset({"size", "channels", "resize", "pixels"})
_KEYS_OF_IMAGES = _IMAGE_KEYS | {"kind", "description", "example"}


#: The kinds of features that model.yaml can name.
FeatureKind = Literal[
    "numeric", "integer", "boolean", "categorical", "datetime", "text", "vector", "sequence", "tensor", "image"
]


class FeatureOverride(_Section):
    """The keys of one feature under ``features``; what is not set is inferred from the data.

    They are the fields of a feature in contract.json, and ``expression``.

    Attributes:
        expression: For a feature that is not a column of the table: an expression over its columns, such as
            ``log(price / area)``; see :mod:`training.data.expression`. Callers send the columns only.
        kind: The kind of the feature.
        description: What the feature means, for the documentation.
        unit: The unit of its values, for the documentation.
        required: Whether every request must contain the field.
        missing: Whether a missing value is rejected or imputed.
        minimum: The lowest value.
        maximum: The highest value.
        out_of_range: Whether a value outside of the range is rejected or clamped to it.
        categories: The values of a categorical feature.
        unknown: Whether a value that is not one of the categories is rejected or accepted.
        normalize: The differences between texts that do not count: texts that are equal apart from them are one
            category.
        longest: The maximum number of characters of a text, or of numbers of a sequence.
        shortest: The minimum number of numbers of a sequence.
        padding: The number that a network gets after the end of a shorter sequence.
        shape: For a tensor, the size of each axis, or the smallest and the largest size of a free one, such as
            ``[[1, 500], 80]``; by default what the network fixes, and what the table has of its free axes.
        size: For an image, its height and width in pixels, if the network does not show them.
        channels: For an image, 1 for grey, 3 for red, green and blue, if the network does not show it.
        resize: For an image, whether one of another size is resized; otherwise it is refused.
        pixels: For an image, what becomes of its pixels before the network: ``range``, the numbers that black and white
            become; ``mean`` and ``std``, the mean that is subtracted and the deviation to divide by, for each channel;
            ``order``, ``rgb`` or ``bgr``; ``layout``, ``channels_first`` or ``channels_last``.
        example: A value for the documentation and the sample requests.
        capture: What captured traffic has of the field: its value, the name of its bin, a keyed hash, or nothing.
    """

    expression: str | None = None
    kind: FeatureKind | None = None
    description: str | None = None
    unit: str | None = None
    required: bool | None = None
    missing: Literal["reject", "impute"] | None = None
    minimum: float | None = None
    maximum: float | None = None
    out_of_range: Literal["reject", "clamp"] | None = None
    categories: tuple[str, ...] | None = None
    unknown: Literal["reject", "accept"] | None = None
    normalize: tuple[NormalizationStep, ...] | None = None
    longest: int | None = Field(default=None, ge=1)
    shortest: int | None = Field(default=None, ge=1)
    padding: float | None = None
    shape: Dimensions | None = None
    size: tuple[int, int] | None = None
    channels: Literal[1, 3] | None = None
    resize: bool | None = None
    pixels: PixelsSpec | None = None
    example: Any = None
    capture: CapturePolicy | None = None

    @model_validator(mode="after")
    def _sequence_has_its_keys(self) -> "FeatureOverride":
        is_sequence = self.kind == "sequence"
        if is_sequence and self.longest is None:
            raise ValueError("a `sequence` needs `longest`, the largest number of its numbers")
        for key in ("shortest", "padding"):
            if getattr(self, key) is not None and not is_sequence:
                raise ValueError(f"`{key}` is for a `sequence`")
        return self

    @field_validator("shape")
    @classmethod
    def _shape_is_legal(cls, value: Dimensions | None) -> Dimensions | None:
        if value is not None:
            check_dimensions(value)
        return value

    @model_validator(mode="after")
    def _shape_is_that_of_a_tensor(self) -> "FeatureOverride":
        if self.shape is not None and self.kind != "tensor":
            raise ValueError("`shape` is for a `tensor`")
        return self

    @field_validator("size")
    @classmethod
    def _size_is_that_of_an_image(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and not all(1 <= number <= 4096 for number in value):
            raise ValueError("expected the height and the width, each from 1 to 4096 pixels")
        return value

    @model_validator(mode="after")
    def _keys_of_images(self) -> "FeatureOverride":
        is_image = self.kind == "image"
        wrong = self.model_fields_set - _KEYS_OF_IMAGES if is_image else self.model_fields_set & _IMAGE_KEYS
        if wrong:
            raise ValueError(f"an image has no `{min(wrong)}`" if is_image else f"`{min(wrong)}` needs `kind: image`")
        return self

    @model_validator(mode="after")
    def _expression_is_alone(self) -> "FeatureOverride":
        others = self.model_dump(exclude_none=True, exclude={"expression", "description"})
        if self.expression is not None and others:
            raise ValueError(f"a feature with an `expression` has no `{next(iter(others))}`")
        return self


class SplitSpec(_Section):
    """How the rows are split into training, validation and test parts.

    Attributes:
        method: How rows are assigned to the parts. The default is ``time`` if ``data.time`` is set, else ``group`` if
            ``data.group`` is set, else ``stratified`` for classification and ``random`` for regression.
        validation: The share of the rows in the validation part. For a split by time also the first instant of the
            part, as a date or a time.
        test: The same for the test part.
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
            raise ValueError("`validation` and `test` must be two shares or two dates")
        if (self.validation.tzinfo is None) != (self.test.tzinfo is None):
            raise ValueError("either both `validation` and `test` must have a UTC offset, or neither")
        if self.validation >= self.test:
            raise ValueError("`validation` must begin before `test`")
        return self


class Component(_Section):
    """An object that a model.yaml describes by its class.

    Attributes:
        name: The import path of the class; its module may be in the folder of model.yaml.
        parameters: The arguments of the class.
    """

    name: ImportPath
    parameters: dict[str, Any] = {}


class TransformerSpec(Component):
    """A transformer of the user's: a class with the interface of scikit-learn's transformers.

    Attributes:
        columns: The columns that it gets, as a polars DataFrame.
    """

    columns: tuple[str, ...] = Field(min_length=1)


class LightningSpec(_Section):
    """Settings of Lightning's Trainer for the network.

    Attributes:
        precision: The precision of the fit.
        accumulate: The number of batches whose gradients are added up for a step.
        callbacks: Callbacks of Lightning, in addition to those of this project.
        loggers: Loggers of Lightning, which get the losses of each epoch.
    """

    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accumulate: int = Field(default=1, ge=1)
    callbacks: tuple[Component, ...] = ()
    loggers: tuple[Component, ...] = ()


#: Nothing but the settings of this project.
PLAIN_LIGHTNING = LightningSpec()

#: The values of ``estimator.name``, in addition to the import path of a class.
ESTIMATORS = ("auto", "linear", "lightgbm", "xgboost", "random_forest", "histogram_boosting", "tabm", "mlp")

#: The neural networks among the estimators.
NETWORKS = ("tabm", "mlp")


class Estimator(_Section):
    """The model and how it is fitted.

    The keys from ``accelerator`` on concern the neural network, TabM-mini (Gorishniy et al., "TabM", ICLR 2025).

    Attributes:
        name: One of ``ESTIMATORS``, or the import path of a class: one with the interface of scikit-learn, such as
            ``sklearn.svm.SVC``, or a LightningModule (see :mod:`training.models.own_network`). ``auto`` fits a linear
            model, boosted trees, the network ``tabm`` and a blend of the better network with the trees, and chooses
            the best on the validation part. ``mlp`` is a network with one member, for the lowest latency.
        parameters: Arguments of the estimator's class, by the names of its own library; not for the networks of this
            project and ``linear``. The search for parameters does not change them.
        candidates: Classes that compete with ``name``, by their import paths, with their arguments.
        budget_seconds: The maximum duration of the fit in seconds. By default, the plan of the fit depends on the size
            of the table only and is the same on every machine.
        refit: Whether the chosen model is fitted again on the training and validation rows together. What was decided
            on the validation rows (parameters, epochs, calibration, interval) is kept.
        trials: The number of parameter sets to try for LightGBM and XGBoost. The default depends on the table.
        accelerator: The device that fits the network; ``auto`` is a GPU if there is one, else the CPU.
        devices: The number of processes per machine that fit the network together, each with its own GPU or core;
            ``auto`` is one per GPU.
        nodes: The number of machines that fit the network together; torchrun or SLURM starts each process.
        members: The number of networks in the ensemble, which share most of their weights. The default is 8, or 32 on
            a GPU.
        width: The number of neurons in a hidden layer.
        blocks: The number of hidden layers.
        embedding: The length of the vector that represents a feature.
        dropout: The share of neurons that are dropped in a training step.
        learning_rate: The learning rate of AdamW.
        weight_decay: The weight decay of AdamW.
        batch_size: The number of rows in a training step. The default depends on the number of rows.
        epochs: The maximum number of passes over the training rows. The default depends on the number of rows.
        patience: The number of epochs without improvement on the validation part until the training stops.
        lightning: Settings of Lightning's Trainer.
    """

    name: str = "auto"
    parameters: dict[str, Any] = {}
    candidates: tuple[Component, ...] = ()
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
    lightning: LightningSpec = PLAIN_LIGHTNING

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
    def _no_accumulation_within_a_budget(self) -> "Estimator":
        if self.budget_seconds is not None and self.lightning.accumulate > 1:
            raise ValueError("`lightning.accumulate` cannot be combined with `budget_seconds`; set `epochs` instead")
        return self

    @model_validator(mode="after")
    def _parameters_fit_the_estimator(self) -> "Estimator":
        if self.parameters and self.name in {"auto", "linear", *NETWORKS}:
            raise ValueError(f"`parameters` are for an estimator of another library, not for `name: {self.name}`")
        return self

    @model_validator(mode="after")
    def _candidates_differ(self) -> "Estimator":
        names = [self.name, *(candidate.name for candidate in self.candidates)]
        if repeated := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{repeated} is named twice; candidates must be different classes")
        return self

    @property
    def components(self) -> tuple[Component, ...]:
        """The classes that are named by their import paths: ``name``, if it is one, and ``candidates``."""
        own = () if self.name in ESTIMATORS else (Component(name=self.name, parameters=self.parameters),)
        return (*own, *self.candidates)


class AdoptSpec(_Section):
    """A model that was trained elsewhere; ``deployer adopt`` writes this section.

    Attributes:
        source: The file or folder of the model, from the folder of model.yaml; or the tag of a BentoML model.
        trust: The digest of the source, as a consent to run it: pickles and other files may hold programs. Without it,
            the source is never loaded.
        columns: The columns that the model reads, in its order, where the source has no names.
        labels: The classes of the model, in its order, where the source does not have them.
        steps: For a folder, the files that the rows pass through, in this order, such as a scaler and a model.
        serve: ``graph`` serves the model as an ONNX graph, which must answer as the source does. ``runner`` serves the
            source itself, in a process of its own.
        environment: The packages that the source is loaded with, such as ``scikit-learn==1.3.2``; or ``current`` for
            those of the environment that `deployer` runs in. By default, those that the source names.
        outputs: What the numbers of an answer mean, where the source does not show it: ``probabilities``; ``logits``,
            which become probabilities by a softmax or a logistic function; ``value``; or ``embedding``, several numbers
            without names.
        seen: Whether the source was trained on rows of the table; null if not known.
    """

    source: str = Field(min_length=1)
    trust: Digest | None = None
    columns: tuple[str, ...] | None = Field(default=None, min_length=1)
    labels: tuple[str, ...] | None = Field(default=None, min_length=2)
    steps: tuple[str, ...] = ()
    serve: Literal["graph", "runner"] = "graph"
    environment: Literal["current"] | tuple[str, ...] = ()
    outputs: Meaning | Literal["embedding"] | None = None
    seen: bool | None = None

    @field_validator("labels", mode="before")
    @classmethod
    def _as_texts(cls, labels: Any) -> Any:
        """Accept numbers and booleans as labels."""
        return [label_text(label) for label in labels] if isinstance(labels, list) else labels


class Cost(_Section):
    """The cost of the two errors of a two-label decision, in any unit, and that of a training in the same unit.

    Only the ratio of the two errors matters for the decisions.

    Attributes:
        false_positive: The cost of deciding for ``positive`` if the truth is the other label.
        false_negative: The cost of deciding against ``positive`` if it is the truth.
        training: The cost of training the model again, with its checks and its rollout. `deployer monitor` weighs it
            against the cost of waiting; None if it is not known.
    """

    false_positive: float = Field(default=1, gt=0)
    false_negative: float = Field(default=1, gt=0)
    training: float | None = Field(default=None, gt=0)


class HoldoutSpec(_Section):
    """The test rows that a handoff package may hold, so that its receiver can measure the model again.

    Attributes:
        rows: How many rows at most.
        fields: The fields whose values may leave the team; ``all`` for all of them. If a field of the model is not
            among them, the package holds no rows.
    """

    rows: int = Field(default=1_000, ge=1)
    fields: Literal["all"] | tuple[str, ...]


class MlflowSpec(_Section):
    """MLflow: a run, and a version of a registered model.

    Attributes:
        uri: The tracking server, or a folder or database; by default that of ``MLFLOW_TRACKING_URI``.
        experiment: The experiment; by default the name of the model.
        register_model: Whether the model is registered, under its name.
    """

    uri: str | None = Field(default=None, min_length=1)
    experiment: str | None = Field(default=None, min_length=1)
    register_model: bool = True


class TrackingSpec(_Section):
    """The trackers that get the run, its figures and the model. One that fails or hangs does not change the run.

    Attributes:
        seconds: How long a tracker may take.
        mlflow: MLflow; None for no run there.
    """

    seconds: float = Field(default=120, gt=0, le=3600)
    mlflow: MlflowSpec | None = None


class Bound(_Section):
    """The allowed range of a metric, with its ends included.

    Attributes:
        at_least: The lowest allowed value, for metrics that are better if they are higher.
        at_most: The highest allowed value, for metrics that are better if they are lower.
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
    def _is_not_empty(self) -> "Bound":
        if self.at_least is None and self.at_most is None:
            raise ValueError("expected `at_least`, `at_most` or both")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("`at_least` is above `at_most`, so that no value is allowed; swap them")
        return self


class Gates(_Section):
    """Requirements on the trained model, measured on the test part; a model that fails one is not saved.

    Attributes:
        metrics: The allowed ranges of metrics, by their names in evaluation.json.
        better_than_linear: Whether the loss of the task, such as log_loss or rmse, must be lower than the loss of the
            linear baseline; see ``LOSS`` of :mod:`contract.metric_catalog`.
        slice_gap: How much higher that loss may be in the worst slice than in all rows, as a share of the latter.
        slice_calibration: The maximum calibration error in a slice; for regression, the maximum difference between the
            actual and the nominal coverage of the prediction intervals. Deviations that chance explains do not count.
        size_mb: The maximum size of model.onnx, in millions of bytes.
        p99_ms: The maximum 99th percentile of the latency of a single-row prediction, in milliseconds on one thread.
    """

    metrics: dict[MetricName, Bound] = {}
    better_than_linear: bool = False
    slice_gap: float | None = Field(default=None, gt=0)
    slice_calibration: float | None = Field(default=None, gt=0, lt=1)
    size_mb: float | None = Field(default=None, gt=0)
    p99_ms: float | None = Field(default=None, gt=0)


class CardSpec(CardStatements):
    """The statements of the model card; unlike those of a manifest, they refuse an unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LimitsSpec(Limits):
    """The limits of one request; unlike those of a contract, they refuse an unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Spec(_Section):
    """A model.yaml.

    Attributes:
        name: The name of the model in the store.
        description: What the model predicts, in one sentence.
        business_context: Who uses the predictions, and for which decision.
        owner: The team or person to contact.
        license: The license of the model.
        card: What only people know about the model, for its documents; see :mod:`contract.card`.
        data: The table, and the role of its columns.
        task: What to predict; ``auto`` derives ``classification`` or ``regression`` from the target column.
        quantile: For ``task: quantile``, the share of cases that should have a target of at most the prediction; the
            default is 0.5. Not allowed for another task.
        features: Overrides of single features, by column.
        transformers: Transformers of the user's, whose results are features. A model with one cannot be served.
        split: How the rows are split into training, validation and test parts.
        estimator: The model and how it is fitted.
        seed: The seed of all random numbers.
        positive: For a target with two labels, the label to detect. The default is the last one in sorted order.
        cost: The cost of the two errors of a two-label decision.
        unit: The unit of a numeric target.
        units: The unit of each of several targets that has one, by column.
        strict: Whether a column that leaks the target ends the run.
        tolerance: How far the behaviour may change in a patch version: the share of golden decisions that may flip,
            and the mean change of a probability, or of a value in standard deviations. A larger change makes the new
            version a minor one.
        slices: Columns to evaluate by value, in addition to the slices that the evaluation finds. They need not be
            features.
        gates: Requirements on the trained model; a model that fails one is not saved.
        limits: The limits of one request to the served model.
        holdout: The test rows that a handoff package may hold. By default, it holds none.
        tracking: The trackers that get the run. By default there are none.
        adopt: A model that was trained elsewhere, which takes the place of ``estimator``. The table then only evaluates
            it.
    """

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$", max_length=63)
    description: str | None = None
    business_context: str | None = None
    owner: str | None = None
    license: str | None = None
    card: CardSpec = CardSpec()
    data: Data
    task: Literal["auto", "classification", "regression", "count", "quantile"] = "auto"
    quantile: float | None = Field(default=None, gt=0, lt=1, validate_default=True)
    features: dict[str, FeatureOverride] = {}
    transformers: tuple[TransformerSpec, ...] = ()
    split: SplitSpec = SplitSpec()
    estimator: Estimator = Estimator()
    seed: int = Field(default=0, ge=0, lt=2**32)
    positive: str | None = None
    cost: Cost = Cost()
    unit: str | None = None
    units: dict[str, str] = {}
    strict: bool = False
    tolerance: float = Field(default=TOLERANCE, ge=0)
    slices: tuple[str, ...] = ()
    gates: Gates = Gates()
    limits: LimitsSpec = LimitsSpec()
    holdout: HoldoutSpec | None = None
    tracking: TrackingSpec = TrackingSpec()
    adopt: AdoptSpec | None = None
    _source: YamlSource | None = PrivateAttr(default=None)

    @field_validator("positive", mode="before")
    @classmethod
    def _as_label(cls, value: Any) -> Any:
        """Accept `positive: true` and `positive: 1` as the labels "true" and "1"."""
        if isinstance(value, bool):
            return str(value).lower()
        return str(value) if isinstance(value, int) else value

    @field_validator("quantile")
    @classmethod
    def _quantile_fits_the_task(cls, value: float | None, info: ValidationInfo) -> float | None:
        if info.data.get("task") == "quantile":
            return 0.5 if value is None else value
        if value is not None and "task" in info.data:
            raise ValueError("only for `task: quantile`")
        return value

    @model_validator(mode="after")
    def _split_has_its_column(self) -> "Spec":
        if self.split.method == "time" and self.data.time is None:
            raise ValueError("`split.method: time` needs a column under `data.time`")
        if self.split.method == "group" and self.data.group is None:
            raise ValueError("`split.method: group` needs a column under `data.group`")
        if isinstance(self.split.test, datetime) and not self.by_time:
            raise ValueError("dates under `split` need `split.method: time` and `data.time`")
        return self

    @model_validator(mode="after")
    def _slice_calibration_has_slices(self) -> "Spec":
        if self.gates.slice_calibration is not None and not self.slices:
            raise ValueError("`gates.slice_calibration` needs at least one column under `slices`")
        return self

    @model_validator(mode="after")
    def _no_time_budget_with_a_stream(self) -> "Spec":
        if self.data.rows_in_memory is not None and self.estimator.budget_seconds is not None:
            raise ValueError(
                "`estimator.budget_seconds` cannot be combined with `data.rows_in_memory`; set `estimator.epochs` and "
                "`estimator.trials` instead"
            )
        return self

    @model_validator(mode="after")
    def _table_is_there(self) -> "Spec":
        if not self.data.has_table and self.adopt is None:
            raise ValueError("expected either `path` or `query` under `data`")
        return self

    @model_validator(mode="before")
    @classmethod
    def _embedding_has_a_name(cls, values: Any) -> Any:
        """Fill in what an embedding is called: it has no column."""
        adopt = values.get("adopt") if isinstance(values, dict) else None
        data = values.get("data", {}) if isinstance(values, dict) else None
        if not isinstance(adopt, dict) or adopt.get("outputs") != "embedding" or not isinstance(data, dict):
            return values
        return values | {"data": {"target": "embedding"} | data}

    @model_validator(mode="after")
    def _several_targets_are_adopted(self) -> "Spec":
        targets = self.data.targets
        if targets and self.adopt is None:
            raise ValueError("`data.targets` is for a model that is adopted; training has one `data.target`")
        if self.has_several_numbers:
            for key in ("cost", "slices", "task", "unit"):
                if key in self.model_fields_set:
                    other = "; write `units`, with the unit of each target" if key == "unit" else ""
                    raise ValueError(f"`{key}` is for a model with one target{other}")
        if unknown := sorted(self.units.keys() - set(targets)):
            raise ValueError(f"`units`: '{unknown[0]}' is not one of `data.targets`")
        if targets and self.adopt and self.adopt.outputs not in (None, "value"):
            raise ValueError(f"`data.targets` names several values, and not `adopt.outputs: {self.adopt.outputs}`")
        return self

    @model_validator(mode="after")
    def _adopted_model_is_finished(self) -> "Spec":
        if self.adopt is None:
            for name, override in self.features.items():
                if override.kind in ("vector", "sequence", "tensor", "image"):
                    raise ValueError(f"`features.{name}`: a field of kind `{override.kind}` needs `adopt`")
            return self
        for key in ("estimator", "transformers", "positive", "quantile"):
            if key in self.model_fields_set:
                raise ValueError(f"`{key}` is for a model that is trained here; leave it out with `adopt`")
        if self.expressions or self.data.rows_in_memory is not None:
            raise ValueError("`expression` and `data.rows_in_memory` are for a model that is trained here")
        return self

    @model_validator(mode="after")
    def _no_transformer_with_a_stream(self) -> "Spec":
        if self.data.rows_in_memory is not None and self.transformers:
            raise ValueError("`transformers` cannot be combined with `data.rows_in_memory`")
        return self

    @property
    def has_several_numbers(self) -> bool:
        """Whether an adopted model gives several numbers for each row: of several targets, or an embedding."""
        return bool(self.data.targets) or self.is_embedding

    @property
    def is_embedding(self) -> bool:
        """Whether an adopted model gives numbers without names, which no column of a table is the truth of."""
        return self.adopt is not None and self.adopt.outputs == "embedding"

    @property
    def expressions(self) -> dict[str, str]:
        """The expressions of own features, by the name of the feature."""
        return {
            name: override.expression for name, override in self.features.items() if override.expression is not None
        }

    @property
    def classes(self) -> tuple[str, ...]:
        """The import paths of the classes that the file names."""
        lightning = self.estimator.lightning
        components = (*self.transformers, *self.estimator.components, *lightning.callbacks, *lightning.loggers)
        return tuple(component.name for component in components)

    @property
    def by_time(self) -> bool:
        """Whether the test part is the latest part of the data."""
        return self.split.method == "time" or (self.split.method is None and self.data.time is not None)

    def with_formats(self, formats: dict[str, str]) -> "Spec":
        """Return the same model.yaml with the forms of these columns under ``data.formats``."""
        return self.model_copy(update={"data": self.data.model_copy(update={"formats": dict(formats)})})

    def location(self, *path: str | int) -> str:
        """Return the location of a key for a message: ``model.yaml:4: data.target``, or the key only without a file.

        Args:
            path: The keys and list indices that lead to it, such as ``"data", "ignore", 0``.
        """
        return self._source.location(path) if self._source else dotted(path)


def read_spec(path: Path) -> Spec:
    """Read and check a model.yaml.

    Args:
        path: The file.

    Returns:
        Its content; :meth:`Spec.location` knows the lines of the file.

    Raises:
        SpecError: if the file cannot be used. The message lists every error, one per line, in the order of the file.
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


def spec_of_table(path: str, keys: Mapping[str, Any]) -> Spec:
    """Return a model.yaml that has only the section ``data``; without a target in the keys, there is none.

    Args:
        path: The table.
        keys: Other keys of the section.

    Raises:
        SpecError: if a key is wrong.
    """
    values = {"target": "", **keys, "path": path}
    try:
        data = Data.model_validate(values)
    except ValidationError as error:
        source = YamlSource(Path(path), values, {(name,): 1 for name in values})
        messages = validation_messages(error, source, lambda _: list(Data.model_fields))
        raise SpecError("\n".join(message.removeprefix(f"{path}:1: ") for message in messages)) from None
    return Spec(name="table", data=data if "target" in keys else data.model_copy(update={"target": None}))


def _keys_at(path: KeyPath) -> list[str]:
    """Return the keys that are allowed below a path, for suggestions in messages."""
    if not path:
        return list(Spec.model_fields)
    if path[:2] == ("gates", "metrics"):
        return list(Bound.model_fields)
    if path[0] == "features" and path[2:] == ("pixels",):
        return list(PixelsSpec.model_fields)
    if path[0] == "features":
        return list(FeatureOverride.model_fields)
    if path[0] == "adopt":
        return list(AdoptSpec.model_fields)
    if path[0] == "holdout":
        return list(HoldoutSpec.model_fields)
    return list(cast(type[BaseModel], Spec.model_fields[str(path[0])].annotation).model_fields)
