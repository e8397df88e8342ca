"""One feature: the values that a request may send under its name, and the policy for missing and unusual values.

Request validation, OpenAPI, the graph's inputs, documents and drift counts are derived from these classes, so that a
property of a field is defined only here.
"""

import math
import sys
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    computed_field,
    field_validator,
    model_validator,
)
from typing_extensions import override

from model_deployer.contract import value_form
from model_deployer.contract.category_spelling import CategorySpelling, NormalizationStep, ignored_differences
from model_deployer.contract.number_format import exact
from model_deployer.contract.tensor_batch import padded

#: The largest integer that float64 represents exactly (IEEE 754); the graph takes every number as float64.
MAX_EXACT_INTEGER = 2**53

#: Regular expressions of dates and times of day (RFC 3339, section 5.6, without the offset), leap years included.
_LONG_MONTH = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
_SHORT_MONTH = "(0[469]|11)-(0[1-9]|[12][0-9]|30)"
_FEBRUARY = "02-(0[1-9]|1[0-9]|2[0-8])"
_LEAP_YEAR = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
_DATE = f"(?!0000)([0-9]{{4}}-({_LONG_MONTH}|{_SHORT_MONTH}|{_FEBRUARY})|{_LEAP_YEAR}-02-29)"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?"
_LOCAL_TIME = f"^{_DATE}[Tt ]{_TIME}$"

#: The maximum length, in characters, of a categorical value if the feature has no list of categories.
MAX_CATEGORY_CHARACTERS = 1_000

#: The maximum number of numbers in one value.
MAX_ELEMENTS = 1_000_000

#: The maximum number of axes of a tensor.
MAX_AXES = 8

#: The size of each axis of a tensor, or the smallest and the largest size of a free one.
Dimensions = tuple[int | tuple[int, int], ...]

#: What captured traffic has of a field: its value; only the name of its bin in reference.json, which is enough to see
#: drift; a keyed hash, which is enough to see that two values are equal; nothing.
CapturePolicy = Literal["keep", "bin", "hash", "drop"]

_TEXT_ENCODING = 'The text, or "" if it is missing.'


class _Feature(BaseModel):
    """The attributes that every kind of feature has.

    Attributes:
        name: The key in a request's row and the name of the graph's input.
        description: The meaning, in a sentence for a reader who does not know the data.
        unit: The unit of measure, as people write it ("miles").
        required: Whether the key must be present in every row.
        missing: The policy for null: ``reject`` refuses the row, ``impute`` lets the model replace the value.
        capture: What captured traffic has of the field; None for the default of its kind.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    #: What captured traffic has of a field of this kind by default.
    _default_capture: ClassVar[CapturePolicy] = "keep"

    name: str = Field(min_length=1)
    description: str | None = None
    unit: str | None = None
    required: bool = True
    missing: Literal["reject", "impute"] = "reject"
    capture: CapturePolicy | None = Field(default=None, exclude_if=lambda policy: policy is None)

    @model_validator(mode="after")
    def _absence_needs_a_policy(self) -> "_Feature":
        if not self.required and not self.nullable:
            raise ValueError("a feature that may be left out needs `missing: impute`")
        return self

    @computed_field  # type: ignore[prop-decorator]
    @property
    def nullable(self) -> bool:
        """Whether null is a legal value."""
        return self.missing == "impute"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def dtype(self) -> Literal["float64", "string", "uint8"]:
        """The element type of the graph's input, of shape [rows, *shape]; a missing value is NaN or ""."""
        return "float64"

    @property
    def capture_policy(self) -> CapturePolicy:
        """What captured traffic has of the field."""
        return self.capture or self._default_capture

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one value in the graph's input."""
        return (1,)

    @property
    def elements(self) -> int:
        """The number of numbers or texts of one value."""
        return math.prod(self.shape)

    def expected(self) -> str:
        """Return what a value that is present must be, as the noun phrase after "expected"."""
        raise NotImplementedError

    def value_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of a value that is present."""
        raise NotImplementedError

    def encoding(self) -> str:
        """Return in a sentence how the graph takes a value."""
        return "The number, or NaN if it is missing."

    def consequences(self) -> list[str]:
        """Return sentences that say what a missing, unknown or out-of-range value does if it is not refused."""
        if not self.nullable:
            return []
        return [f"May be null{'' if self.required else ' or left out'}; the model then answers without it."]

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of this field, with null, description and example."""
        schema = self.value_schema()
        if self.nullable:
            schema["type"] = [schema["type"], "null"]
            if "enum" in schema:
                schema["enum"] = [*schema["enum"], None]
        sentences = [self.description, self.unit and f"Unit: {self.unit}.", *self.consequences()]
        if text := " ".join(sentence for sentence in sentences if sentence):
            schema["description"] = text
        example = getattr(self, "example", None)
        if example is not None:
            schema["examples"] = [example]
        return schema


class _FormattedFeature(_Feature):
    """A feature whose values may also be text in the form of the table.

    Attributes:
        format: That form, as :func:`model_deployer.contract.value_form.parse` reads it; None for no such text.
    """

    format: str | None = Field(default=None, exclude_if=lambda form: form is None)

    @field_validator("format")
    @classmethod
    def _form_can_be_read(cls, form: str | None) -> str | None:
        if form is not None:
            value_form.parse(form)
        return form

    @override
    def consequences(self) -> list[str]:
        accepted = [f"Text in the form {self.format} of the table is accepted, too."] if self.format else []
        return [*super().consequences(), *accepted]


class _Number(_FormattedFeature):
    """A number with inclusive bounds.

    Attributes:
        out_of_range: The policy for a value outside the bounds: ``reject`` refuses the row, ``clamp`` uses the nearest
            bound as the value.
        minimum: The lower bound, or None.
        maximum: The upper bound, or None.
    """

    out_of_range: Literal["reject", "clamp"] = "clamp"
    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "_Number":
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("`minimum` is above `maximum`")
        return self

    def _bounds(self) -> dict[str, float]:
        bounds = {"minimum": self.minimum, "maximum": self.maximum}
        return {name: bound for name, bound in bounds.items() if bound is not None}

    def _enforced_bounds(self) -> dict[str, float]:
        return self._bounds() if self.out_of_range == "reject" else {}

    @override
    def expected(self) -> str:
        noun = "a whole number" if isinstance(self, Integer) else "a number"
        bounds = {name: exact(bound) for name, bound in self._enforced_bounds().items()}
        match bounds:
            case {"minimum": low, "maximum": high}:
                return f"{noun} from {low} to {high}"
            case {"minimum": low}:
                return f"{noun} of at least {low}"
            case {"maximum": high}:
                return f"{noun} of at most {high}"
        return noun

    @override
    def value_schema(self) -> dict[str, Any]:
        return {"type": "number"} | self._enforced_bounds()

    @override
    def consequences(self) -> list[str]:
        sentences = super().consequences()
        if self.out_of_range == "clamp" and self._bounds():
            prepositions = {"minimum": "below", "maximum": "above"}
            outside = " or ".join(f"{prepositions[name]} {exact(bound)}" for name, bound in self._bounds().items())
            sentences.append(f"A value {outside} counts as that bound.")
        return sentences


class Numeric(_Number):
    """A real number. Infinity and NaN are refused, because JSON cannot express them."""

    kind: Literal["numeric"] = "numeric"
    example: float | None = None


class Integer(_Number):
    """A whole number from -2**53 to 2**53; 3.0 counts as 3 (JSON has only one type of number, RFC 8259)."""

    kind: Literal["integer"] = "integer"
    minimum: int | None = None
    maximum: int | None = None
    example: int | None = None

    @override
    def value_schema(self) -> dict[str, Any]:
        exact_range = {"minimum": -MAX_EXACT_INTEGER, "maximum": MAX_EXACT_INTEGER}
        return {"type": "integer"} | exact_range | self._enforced_bounds()


class Boolean(_FormattedFeature):
    """A boolean: true or false. The graph takes 1, 0 or NaN."""

    kind: Literal["boolean"] = "boolean"
    example: bool | None = None

    @override
    def expected(self) -> str:
        return "true or false"

    @override
    def value_schema(self) -> dict[str, Any]:
        return {"type": "boolean"}

    @override
    def encoding(self) -> str:
        return "1 for true, 0 for false, or NaN if it is missing."


class Categorical(_Feature):
    """One of a set of strings.

    Attributes:
        categories: The values that the model knows; None if there are too many to list.
        unknown: The policy for other values: ``reject`` refuses the row (needs ``categories``), ``accept`` makes the
            model treat the value as an unknown category.
        normalize: The differences that do not count: a text that equals a category apart from them is that category.
            Needs ``categories``.
    """

    kind: Literal["categorical"] = "categorical"
    categories: tuple[str, ...] | None = None
    unknown: Literal["reject", "accept"] = "accept"
    normalize: tuple[NormalizationStep, ...] = Field(default=(), exclude_if=lambda steps: not steps)
    example: str | None = None

    @model_validator(mode="after")
    def _rejection_needs_a_list(self) -> "Categorical":
        if self.unknown == "reject" and not self.categories:
            raise ValueError("`unknown: reject` needs the list of `categories`")
        return self

    @model_validator(mode="after")
    def _normalization_is_unambiguous(self) -> "Categorical":
        if self.normalize and not self.categories:
            raise ValueError("`normalize` needs the list of `categories`")
        self.spelling()
        return self

    def spelling(self) -> CategorySpelling | None:
        """Return what finds the category that a text counts as; None if only equal texts count."""
        return CategorySpelling(self.categories or (), self.normalize) if self.normalize else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    @override
    def dtype(self) -> Literal["float64", "string", "uint8"]:
        return "string"

    @override
    def encoding(self) -> str:
        return _TEXT_ENCODING

    @override
    def expected(self) -> str:
        if self.unknown == "accept" or self.categories is None:
            return f"a string of 1 to {MAX_CATEGORY_CHARACTERS} characters"
        if len(self.categories) > 20:
            return f"one of the {len(self.categories)} categories in the answer of GET /model"
        return "one of " + ", ".join(f"'{category}'" for category in self.categories)

    @override
    def value_schema(self) -> dict[str, Any]:
        if self.unknown == "reject":
            return {"type": "string", "enum": list(self.categories or ())}
        return {"type": "string", "minLength": 1, "maxLength": MAX_CATEGORY_CHARACTERS}

    @override
    def consequences(self) -> list[str]:
        sentences = super().consequences()
        if self.unknown == "accept":
            if self.categories and len(self.categories) <= 20:
                sentences.append(f"Known values: {', '.join(self.categories)}.")
            sentences.append("A value that the model does not know is treated as unknown.")
        if self.normalize:
            ignored = ignored_differences(self.normalize)
            sentences.append(f"A value that differs from a known value only by {ignored} counts as that value.")
        return sentences


class Datetime(_FormattedFeature):
    """A point in time as ISO 8601 text; the graph takes seconds since 1970-01-01T00:00:00.

    Attributes:
        zoned: True if the table has times with a UTC offset, so that requests must have one ("...Z",
            "...+02:00"). False if it has local times: an offset is then refused, because its meaning is not defined.
    """

    kind: Literal["datetime"] = "datetime"
    zoned: bool = False
    example: str | None = None

    @override
    def expected(self) -> str:
        if self.zoned:
            return "a time with a UTC offset, such as 2013-11-01T17:05:00Z"
        return "a local time without a UTC offset, such as 2013-11-01T17:05:00"

    @override
    def encoding(self) -> str:
        if self.zoned:
            return "The seconds since 1970-01-01T00:00:00 UTC, or NaN if it is missing."
        return "The seconds from 1970-01-01T00:00:00 to the local time, as if both were UTC, or NaN if it is missing."

    @override
    def value_schema(self) -> dict[str, Any]:
        if self.zoned:
            return {"type": "string", "format": "date-time"}
        return {"type": "string", "pattern": _LOCAL_TIME}


class Text(_Feature):
    """Free text.

    Attributes:
        longest: The maximum length in characters.
    """

    _default_capture: ClassVar[CapturePolicy] = "bin"

    kind: Literal["text"] = "text"
    longest: int = Field(default=10_000, ge=1)
    example: str | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    @override
    def dtype(self) -> Literal["float64", "string", "uint8"]:
        return "string"

    @override
    def encoding(self) -> str:
        return _TEXT_ENCODING

    @override
    def expected(self) -> str:
        return f"a string of at most {self.longest} characters"

    @override
    def value_schema(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": self.longest}


class NumberArray(_Feature):
    """Several numbers in one value: the base of vectors, sequences and tensors.

    Attributes:
        integers: Whether all of them are whole numbers.
        minimum: The lower bound of each number, or None. A value with a number outside the bounds is refused.
        maximum: The upper bound of each number, or None.
    """

    _default_capture: ClassVar[CapturePolicy] = "bin"

    kind: str
    integers: bool = False
    minimum: float | None = None
    maximum: float | None = None
    example: Any = None

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "NumberArray":
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("`minimum` is above `maximum`")
        return self

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """The smallest and the largest size of each axis."""
        raise NotImplementedError

    @property
    def has_fixed_shape(self) -> bool:
        """Whether the input of the graph always has the same shape for each row."""
        return all(low == high for low, high in self.sizes)

    @property
    @override
    def shape(self) -> tuple[int, ...]:
        return tuple(high for _, high in self.sizes)

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest number that is not refused."""
        largest: float = MAX_EXACT_INTEGER if self.integers else sys.float_info.max
        minimum = -largest if self.minimum is None else self.minimum
        return minimum, largest if self.maximum is None else self.maximum

    def accepts_shape(self, shape: Sequence[int]) -> bool:
        """Return whether a value may have this shape."""
        return len(shape) == len(self.sizes) and all(
            low <= size <= high for size, (low, high) in zip(shape, self.sizes, strict=True)
        )

    def accepts(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which values of an array of numbers, [rows, *shape], have legal numbers only: bool [rows]."""
        low, high = self.bounds
        numbers = values.astype(np.float64, copy=False) if values.dtype.kind == "f" else values
        is_legal = (numbers >= low) & (numbers <= high)  # false for NaN
        if self.integers and numbers.dtype.kind == "f":
            is_legal &= np.floor(numbers) == numbers
        return np.asarray(is_legal.reshape(len(values), -1).all(axis=1))

    def column(self, values: Sequence[Any]) -> NDArray[np.float64]:
        """Return values as an input of the graph, float64 [rows, *shape]: lists or arrays, None for a missing one.

        A free axis has the largest size of these values. A smaller value, and None in place of one, have NaN in the
        remaining places.
        """
        arrays = [None if value is None else np.asarray(value, np.float64) for value in values]
        return padded(arrays, self.missing_shape)

    @property
    def open_shape(self) -> tuple[int, ...]:
        """The shape of a value for the metadata of protocols: -1 for a free axis."""
        return tuple(low if low == high else -1 for low, high in self.sizes)

    @property
    def shape_text(self) -> str:
        """The shape of a value for people, such as ``1 to 500, 80``."""
        return ", ".join(f"{low}" if low == high else f"{low} to {high}" for low, high in self.sizes)

    @property
    def missing_shape(self) -> tuple[int, ...]:
        """The shape of a missing value in the input of the graph: one place in each free axis."""
        return self.shape if self.has_fixed_shape else tuple(low if low == high else 1 for low, high in self.sizes)

    def element(self) -> str:
        """Return what one of the numbers must be, as the noun phrase after "expected"."""
        return f"a {'whole ' * self.integers}number{self._range()}"

    def _range(self) -> str:
        low, high = (None if bound is None else exact(bound) for bound in (self.minimum, self.maximum))
        if low and high:
            return f" from {low} to {high}"
        if low:
            return f" of at least {low}"
        return f" of at most {high}" if high else ""

    @override
    def value_schema(self) -> dict[str, Any]:
        bounds = {"minimum": self.minimum, "maximum": self.maximum}
        limits = {name: bound for name, bound in bounds.items() if bound is not None}
        if self.integers:
            limits = dict(zip(bounds, self.bounds, strict=True))
        schema: dict[str, Any] = {"type": "integer" if self.integers else "number"} | limits
        for low, high in reversed(self.sizes):
            schema = {"type": "array", "items": schema, "minItems": low, "maxItems": high}
        return schema


class NumberList(NumberArray):
    """Numbers in one list: the base of vectors and sequences."""

    example: tuple[int | float, ...] | None = None

    @model_validator(mode="after")
    def _example_has_a_legal_length(self) -> "NumberList":
        low, high = self.lengths
        if low > high:
            raise ValueError("`shortest` is above `longest`")
        if self.example is not None and not low <= len(self.example) <= high:
            raise ValueError(f"the example has {len(self.example)} numbers; expected {self.expected()}")
        return self

    @property
    def lengths(self) -> tuple[int, int]:
        """The smallest and the largest number of numbers."""
        raise NotImplementedError

    @property
    @override
    def sizes(self) -> tuple[tuple[int, int], ...]:
        return (self.lengths,)

    def accepts_length(self, length: int) -> bool:
        """Return whether a list may have this number of numbers."""
        return self.accepts_shape((length,))

    @override
    def expected(self) -> str:
        bounds = f", each{self._range()}" if self._range() else ""
        low, high = self.lengths
        count = f"{low}" if low == high else f"{low} to {high}"
        return f"a list of {count} {'whole ' * self.integers}numbers{bounds}"


class Vector(NumberList):
    """A fixed number of numbers, such as an embedding. The graph takes [rows, length].

    Attributes:
        length: The number of numbers.
    """

    kind: Literal["vector"] = "vector"
    length: int = Field(ge=1, le=MAX_ELEMENTS)

    @property
    @override
    def lengths(self) -> tuple[int, int]:
        return self.length, self.length

    @override
    def encoding(self) -> str:
        return f"The {self.length} numbers, or NaN in all places if it is missing."


class NumberSequence(NumberList):
    """A variable number of numbers, such as the tokens of a text or the values of a signal.

    The graph takes [rows, length], and the length differs between batches: it is that of the longest sequence of a
    batch. After the end of a shorter sequence there is NaN, so that the graph finds the mask with IsNaN. Its answer
    must not depend on the number of NaN at the end: golden requests are replayed alone and as one batch to check that.

    Attributes:
        shortest: The smallest number of numbers.
        longest: The largest number of numbers.
    """

    kind: Literal["sequence"] = "sequence"
    shortest: int = Field(default=1, ge=1)
    longest: int = Field(ge=1, le=MAX_ELEMENTS)

    @property
    @override
    def lengths(self) -> tuple[int, int]:
        return self.shortest, self.longest

    @property
    @override
    def has_fixed_shape(self) -> bool:
        return False

    @override
    def encoding(self) -> str:
        return "The numbers, and NaN after their end; NaN in all places if it is missing."


class Tensor(NumberArray):
    """Numbers in several axes, such as a spectrogram of any duration or a matrix. A value is nested lists in JSON.

    The graph takes [rows, *shape], and never rows of different shapes: the rows of a batch are grouped by their shape,
    and the graph runs once for each (:mod:`model_deployer.contract.tensor_batch`).

    Attributes:
        dimensions: The size of each axis, or the smallest and the largest size of a free one; in JSON it is ``shape``.
    """

    # The attribute `shape` is that of the input of the graph, as for every feature.
    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    kind: Literal["tensor"] = "tensor"
    dimensions: Dimensions = Field(alias="shape")

    @field_validator("example")
    @classmethod
    def _example_is_frozen(cls, example: Any) -> Any:
        return _as_tuples(example)

    @field_validator("dimensions")
    @classmethod
    def _sizes_are_legal(cls, dimensions: Dimensions) -> Dimensions:
        check_dimensions(dimensions)
        return dimensions

    @model_validator(mode="after")
    def _example_has_a_legal_shape(self) -> "Tensor":
        if self.example is None:
            return self
        try:
            numbers = np.array(self.example, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"the example is not {self.expected()}") from None
        if not self.accepts_shape(numbers.shape):
            raise ValueError(f"the example has the shape {list(numbers.shape)}; expected {self.expected()}")
        return self

    @property
    @override
    def sizes(self) -> tuple[tuple[int, int], ...]:
        return sizes_of(self.dimensions)

    @override
    def expected(self) -> str:
        bounds = f", each{self._range()}" if self._range() else ""
        return f"nested lists of {'whole ' * self.integers}numbers of the shape [{self.shape_text}]{bounds}"

    @override
    def encoding(self) -> str:
        missing = "NaN in all places, with one place in each free axis, if it is missing"
        return f"The numbers in their axes; in one call of the graph, all rows have the same shape. {missing}."


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list | tuple) else value


def sizes_of(dimensions: Dimensions) -> tuple[tuple[int, int], ...]:
    """Return the smallest and the largest size of each axis of a tensor."""
    return tuple((each, each) if isinstance(each, int) else each for each in dimensions)


def check_dimensions(dimensions: Dimensions) -> None:
    """Check the sizes of the axes of a tensor.

    Raises:
        ValueError: if they are not legal.
    """
    if len(dimensions) < 2:
        raise ValueError("a tensor has at least two axes; make a field with one axis a `vector` or a `sequence`")
    if len(dimensions) > MAX_AXES:
        raise ValueError(f"a tensor has at most {MAX_AXES} axes")
    sizes = sizes_of(dimensions)
    if any(not 1 <= low <= high for low, high in sizes):
        raise ValueError(
            "each axis of a tensor is a size of at least 1, or the pair [smallest, largest] of a free axis"
        )
    if (elements := math.prod(high for _, high in sizes)) > MAX_ELEMENTS:
        raise ValueError(f"the largest tensor has {elements:,} numbers; at most {MAX_ELEMENTS:,} are allowed")


class Image(_Feature):
    """A PNG or JPEG file. The graph takes the pixels, uint8 [rows, height, width, channels]; it scales them itself.

    Attributes:
        height: The height in pixels.
        width: The width in pixels.
        channels: 1 for grey, 3 for red, green and blue.
        resize: Whether an image of another size is resized; otherwise it is refused.
        example: A file in base64.
    """

    _default_capture: ClassVar[CapturePolicy] = "drop"

    kind: Literal["image"] = "image"
    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    channels: Literal[1, 3] = 3
    resize: bool = False
    example: str | None = None

    @model_validator(mode="after")
    def _is_required(self) -> "Image":
        if self.nullable:
            raise ValueError("an image cannot be missing: leave `missing` and `required` out")
        return self

    @model_validator(mode="after")
    def _is_not_captured(self) -> "Image":
        if self.capture_policy != "drop":
            raise ValueError("an image cannot be captured: leave `capture` out")
        return self

    @computed_field  # type: ignore[prop-decorator]
    @property
    @override
    def dtype(self) -> Literal["float64", "string", "uint8"]:
        return "uint8"

    @property
    @override
    def shape(self) -> tuple[int, ...]:
        return (self.height, self.width, self.channels)

    @override
    def expected(self) -> str:
        size = f"{self.width} x {self.height} pixels"
        return f"a PNG or JPEG file in base64, {f'which is resized to {size}' if self.resize else f'of {size}'}"

    @override
    def value_schema(self) -> dict[str, Any]:
        return {"type": "string", "contentEncoding": "base64", "minLength": 1}

    @override
    def consequences(self) -> list[str]:
        return ["The orientation in EXIF is not applied: turn a photo before you send it. Transparency is left out."]

    @override
    def encoding(self) -> str:
        channels = "grey" if self.channels == 1 else "red, green and blue"
        return f"The pixels from 0 to 255, row by row, each of them {channels}."


Feature = Annotated[
    Numeric | Integer | Boolean | Categorical | Datetime | Text | Vector | NumberSequence | Tensor | Image,
    Field(discriminator="kind"),
]
