"""The model as a Python object, with ONNX Runtime and numpy only; it needs no server.

    import sys
    sys.path.insert(0, "model")  # the folder of this file
    import predictor

    model = predictor.load()
    model.predict([{...}, {...}])  # rows as the service takes them
    model.predict(frame)           # or a DataFrame of pandas or polars

The answers are those of the service: the same checks by the contract of the model, and the same predictions. Rows that
the service refuses raise :class:`InvalidRows` with the same problems. The limits of a request do not apply.

model_vX.Y.Z.joblib, model_vX.Y.Z.pkl and preprocessor.pkl hold objects of this file, and load where it can be
imported.
"""

import base64
import difflib
import io
import json
import math
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

MAX_CATEGORY_CHARACTERS = 1_000

#: The largest integer that float64 represents exactly.
MAX_EXACT_INTEGER = 2**53

#: The numbers of problems that an error lists, and of unknown fields for which it names a similar one.
MAX_LISTED_PROBLEMS, MAX_HINTS = 1_000, 20

#: Why a row is refused that the model does not answer with numbers.
NOT_A_NUMBER = "the answer of the model to this row is NaN or infinite; check whether its values are possible"

#: The maximum number of rows, and of their values, that the model predicts at once.
CHUNK_ROWS, CHUNK_NUMBERS = 4_096, 4 * 1024**2

UTC = timezone.utc  # noqa: UP017 (the file is read on its own)

#: Arrays by name: the inputs or the outputs of a graph.
Arrays = Mapping[str, "np.ndarray[Any, Any]"]


def load(folder: Path | None = None) -> "Predictor":
    """Return the model of a package.

    Args:
        folder: The folder with model_metadata.json and the ONNX file of its version; None for the folder of this file.
    """
    folder = folder or Path(__file__).resolve().parent
    metadata = json.loads((folder / "model_metadata.json").read_text(encoding="utf-8"))
    graph = folder / f"model_v{metadata['manifest']['version']}.onnx"
    return Predictor(json.dumps(metadata["contract"]), graph.read_bytes())


class InvalidRows(ValueError):
    """Rows break the contract of the model.

    Attributes:
        problems: The first problems, as ``errors`` of the service lists them: ``row`` (from 0), ``field``, ``code`` and
            ``message``.
        total: The number of all problems.
    """

    def __init__(self, problems: list[dict[str, Any]], total: int) -> None:
        first = "; ".join(map(problem_text, problems[:3]))
        super().__init__(f"{total} problem{'s' * (total != 1)}: {first}{'; ...' * (total > 3)}")
        self.problems, self.total = problems, total

    def __reduce__(self) -> Any:
        return InvalidRows, (self.problems, self.total)


def problem_text(problem: Mapping[str, Any]) -> str:
    """Return a problem of a row, or of one of its fields, as a text."""
    field = "" if problem["field"] is None else f", {problem['field']}"
    return f"row {problem['row']}{field}: {problem['message']}"


class Preprocessor:
    """Checks rows and turns them into arrays.

    Args:
        contract: The contract of the model, as JSON.
        graph: The part of model.onnx before the model; None for the inputs of model.onnx themselves.
    """

    def __init__(self, contract: str, graph: bytes | None = None) -> None:
        self._arguments = (contract, graph)
        self._features = json.loads(contract)["features"]
        self._checks = {feature["name"]: value_check(feature) for feature in self._features}
        self._graph = graph and Graph(graph)

    def __reduce__(self) -> Any:
        return Preprocessor, self._arguments

    def transform(self, data: Any) -> Arrays:
        """Return the inputs of the model for rows.

        Args:
            data: A list of dicts or a DataFrame, with the fields of the contract. Values are those of JSON, or their
                equivalents in Python and numpy: a datetime is its ISO 8601 text. In a DataFrame, NaN is missing.

        Returns:
            Without a graph one array per field, [rows, 1]: float64 with NaN for missing, or str objects with "" for
            missing. A vector or a sequence is float64 [rows, length], an image uint8 [rows, height, width, channels].
            A boolean is 1.0 or 0.0, a time the seconds since 1970-01-01T00:00:00 (of a time with an offset: in UTC).
            With a graph its outputs: float64 and int64 [rows, n].

        Raises:
            InvalidRows: If rows break the contract.
        """
        return self.run(self._columns(self._checked(records(data))))

    def run(self, arrays: Arrays) -> Arrays:
        """Return the outputs of the graph for the inputs of model.onnx, without any check; without a graph these."""
        return self._graph(arrays) if self._graph else arrays

    def _checked(self, rows: Sequence[Any]) -> list[list[Any]]:
        problems = Problems(self._features)
        values = [self._row(index, row, problems) for index, row in enumerate(rows)]
        if problems.total:
            raise InvalidRows(problems.listed, problems.total)
        return values

    def _row(self, index: int, row: Any, problems: "Problems") -> list[Any]:
        if not isinstance(row, dict):
            problems.add(index, None, "wrong_type", "expected an object with one key per feature")
            return []
        for name in row:
            if name not in self._checks:
                problems.add_unknown_field(index, str(name))
        values = []
        for feature in self._features:
            try:
                values.append(self._value(row, feature))
            except InvalidValue as invalid:
                problems.add(index, feature["name"], invalid.code, invalid.message)
        return values

    def _value(self, row: Mapping[str, Any], feature: Mapping[str, Any]) -> Any:
        value = json_value(row.get(feature["name"]))
        if value is not None:
            return self._checks[feature["name"]](value)
        if feature["name"] not in row and feature["required"]:
            raise InvalidValue("missing_field", f"the field is required: send {expected(feature)}{or_null(feature)}")
        if not feature["nullable"]:
            raise InvalidValue("not_nullable", f"null is not accepted: send {expected(feature)}")
        return None

    def _columns(self, rows: Sequence[Sequence[Any]]) -> Arrays:
        return {
            feature["name"]: column(feature, [row[index] for row in rows])
            for index, feature in enumerate(self._features)
        }


class Predictor:
    """Predicts rows as the service does.

    Args:
        contract: The contract of the model, as JSON.
        graph: The model: model.onnx, or the part of it behind the preprocessor.
        preprocessor: The part of model.onnx before that; None if ``graph`` is all of model.onnx.
    """

    def __init__(self, contract: str, graph: bytes, preprocessor: bytes | None = None) -> None:
        self._arguments = (contract, graph, preprocessor)
        self._preprocessor = Preprocessor(contract, preprocessor)
        self._output = json.loads(contract)["output"]
        self._graph = Graph(graph)

    def __reduce__(self) -> Any:
        return Predictor, self._arguments

    def transform(self, data: Any) -> Arrays:
        """Check rows and return them as the inputs of the model; see :meth:`Preprocessor.transform`."""
        return self._preprocessor.transform(data)

    def predict(self, data: Any) -> list[dict[str, Any]]:
        """Return one prediction per row, as the service does.

        Args:
            data: A list of dicts or a DataFrame as for :meth:`transform`, or what :meth:`transform` returned.

        Returns:
            ``{"decision": label, "probabilities": {label: number}}``, with ``"set"`` if the model has prediction sets;
            for a number ``{"value": v, "lower": l, "upper": u}``; for several targets ``{"values": {name: number}}``,
            and for an embedding ``{"values": [number]}``.

        Raises:
            InvalidRows: If rows break the contract, or the answer to a row is NaN or infinite.
        """
        outputs = self.run(data if isinstance(data, Mapping) else self.transform(data))
        return predictions(self._output, require_numbers(outputs))

    def run(self, arrays: Arrays) -> Arrays:
        """Return the outputs of the graph for its inputs, float32 [rows, n] each, without any check."""
        rows = len(next(iter(arrays.values())))
        size = max(1, min(CHUNK_ROWS, CHUNK_NUMBERS // sum(math.prod(array.shape[1:]) for array in arrays.values())))
        chunks = [
            self._graph({name: array[start : start + size] for name, array in arrays.items()})
            for start in range(0, max(1, rows), size)
        ]
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


class Graph:
    """An ONNX graph, as a function of its inputs by name."""

    def __init__(self, graph: bytes) -> None:
        self._session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self._outputs = [output.name for output in self._session.get_outputs()]
        shapes = {
            value.name: [size if isinstance(size, int) else 0 for size in value.shape[1:]]
            for value in self._session.get_inputs()
            if value.type == "tensor(double)" and len(value.shape) > 2
        }
        #: The shape of a missing tensor, for each input of tensors with a free axis.
        self._tensors = {name: [size or 1 for size in shape] for name, shape in shapes.items() if 0 in shape}

    def __call__(self, arrays: Arrays) -> Arrays:
        """Return the outputs of the graph, [rows, n] each. It runs once for the rows of each shape of tensors."""
        if not self._tensors:
            return self._run(arrays)
        shapes = {name: tensor_shapes(arrays[name]) for name in self._tensors}
        for name, sizes in shapes.items():
            sizes[sizes[:, 0] == 0] = self._tensors[name]
        distinct, groups = np.unique(np.hstack(list(shapes.values())), axis=0, return_inverse=True)
        ends = np.cumsum([sizes.shape[1] for sizes in shapes.values()])[:-1]
        outputs: dict[str, np.ndarray[Any, Any]] = {}
        for number, sizes in enumerate(distinct):
            rows = np.flatnonzero(groups.reshape(-1) == number)
            part = {name: array[rows] for name, array in arrays.items()}
            for name, shape in zip(shapes, np.split(sizes, ends), strict=True):
                part[name] = np.ascontiguousarray(part[name][(slice(None), *map(slice, shape.tolist()))])
            for name, array in self._run(part).items():
                outputs.setdefault(name, np.empty((len(groups), *array.shape[1:]), array.dtype))[rows] = array
        return outputs

    def _run(self, arrays: Arrays) -> Arrays:
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(arrays)), strict=True))


def require_numbers(outputs: Arrays) -> Arrays:
    """Return outputs unchanged, or raise :class:`InvalidRows` for rows with NaN or infinity."""
    is_answered = np.all([np.isfinite(array).all(axis=1) for array in outputs.values()], axis=0)
    rows = np.flatnonzero(~is_answered).tolist()
    if not rows:
        return outputs
    problem = {"field": None, "code": "refused_by_model", "message": NOT_A_NUMBER}
    raise InvalidRows([{"row": row, **problem} for row in rows[:MAX_LISTED_PROBLEMS]], len(rows))


def tensor_shapes(tensors: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Return the shape of each tensor in an array with NaN after the ends, int64 [rows, axes]; 0 for a missing one."""
    axes = range(1, tensors.ndim)
    edges = [tensors[(slice(None), *(slice(None) if axis == other else 0 for other in axes))] for axis in axes]
    return np.stack([(~np.isnan(edge)).sum(axis=1) for edge in edges], axis=1)


# From data to rows of JSON values


def records(data: Any) -> list[Any]:
    """Return a list of rows unchanged, and a DataFrame of pandas or polars as rows, with None for missing values."""
    if isinstance(data, list | tuple):
        return list(data)
    if hasattr(data, "to_dicts"):  # polars
        rows = data.to_dicts()
    elif hasattr(data, "to_dict") and hasattr(data, "notna"):  # pandas
        rows = data.astype(object).where(data.notna(), None).to_dict("records")
    else:
        raise TypeError("expected a list of dicts, or a DataFrame of pandas or polars")
    return [{name: None if is_nan(value) else value for name, value in row.items()} for row in rows]


def is_nan(value: Any) -> bool:
    """Return whether a value is the float NaN."""
    return isinstance(value, float) and math.isnan(value)


def json_value(value: Any) -> Any:
    """Return the value that JSON has for a scalar or an array of numpy, a date or a datetime; others unchanged."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, datetime):
        return value.isoformat()
    return f"{value.isoformat()}T00:00:00" if isinstance(value, date) else value


def column(feature: Mapping[str, Any], values: Sequence[Any]) -> "np.ndarray[Any, Any]":
    """Return checked values of a field as an input of the graph, [rows, 1]; of lists and tensors [rows, *shape]."""
    if feature["dtype"] == "string":
        return np.array([value or "" for value in values], dtype=object).reshape(-1, 1)
    if feature["kind"] == "image":
        return np.stack(values)
    if feature["kind"] in ("vector", "sequence", "tensor"):
        return array_column(array_sizes(feature), values)
    if feature["kind"] == "datetime":
        epoch = datetime(1970, 1, 1, tzinfo=UTC if feature["zoned"] else None)
        values = [None if value is None else (value - epoch).total_seconds() for value in values]
    return np.array(values, dtype=np.float64).reshape(-1, 1)


def array_column(sizes: Sequence[tuple[int, int]], values: Sequence[Any]) -> "np.ndarray[Any, Any]":
    """Return checked lists as float64 [rows, *shape], with NaN for missing ones and after the ends of smaller ones.

    A free axis has the largest size of the values.
    """
    arrays = [None if value is None else np.array(value, np.float64) for value in values]
    smallest = [low if low == high else 1 for low, high in sizes]
    column = np.full(
        (len(values), *np.max([smallest, *(array.shape for array in arrays if array is not None)], axis=0)), np.nan
    )
    for row, array in zip(column, arrays, strict=True):
        if array is not None:
            row[tuple(map(slice, array.shape))] = array
    return column


# The checks of a value


class InvalidValue(Exception):
    """A value breaks the contract."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code, self.message = code, message


class Problems:
    """Counts all problems and keeps the first ones."""

    def __init__(self, features: Sequence[Mapping[str, Any]]) -> None:
        self._names = [feature["name"] for feature in features]
        self.listed: list[dict[str, Any]] = []
        self.total = self._hints = 0

    def add(self, row: int, field: str | None, code: str, message: str) -> None:
        """Add a problem."""
        self.total += 1
        if self.total <= MAX_LISTED_PROBLEMS:
            self.listed.append({"row": row, "field": field, "code": code, "message": message})

    def add_unknown_field(self, row: int, name: str) -> None:
        """Add a field that the model does not have."""
        printable = name[:100].encode("utf-8", "replace").decode()
        self.add(row, printable, "unknown_field", f"the model has no such field: {self._hint(name)}")

    def _hint(self, name: str) -> str:
        self._hints += 1
        matches = difflib.get_close_matches(name[:100], self._names, n=1) if self._hints <= MAX_HINTS else []
        return f"did you mean '{matches[0]}'?" if matches else "leave it out; GET /model lists the fields"


def value_check(feature: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return the function that returns a valid value of a field, or raises :class:`InvalidValue`."""
    check = USUAL_CHECKS[feature["kind"]](feature)
    if feature.get("format") is None:
        return check
    read, is_time = form_reader(feature["format"]), "%" in feature["format"]

    def check_form(value: Any) -> Any:
        is_form = isinstance(value, str) or (is_time and type(value) is int)  # such as 20240131
        form_value = read(str(value)) if is_form else None
        return check(value if form_value is None else json_value(form_value))

    return check_form


def number_check(feature: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return the check of a number or a whole number."""
    low, high = (feature[end] if feature["out_of_range"] == "reject" else None for end in ("minimum", "maximum"))
    text, whole = expected(feature), feature["kind"] == "integer"

    def check(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            hint = ", and not as text" if isinstance(value, str) else ""
            raise InvalidValue("wrong_type", f"expected {text}{hint}")
        if isinstance(value, float) and math.isnan(value):
            raise InvalidValue("not_finite", f"NaN is not a number: send {text}{or_null(feature)}")
        if isinstance(value, float) and math.isinf(value):
            raise InvalidValue("not_finite", f"the number is too large or infinite: send {text}")
        as_float = to_float(value, text)  # refuses what no float can hold
        number = value if whole else as_float
        if (low is not None and number < low) or (high is not None and number > high):
            raise InvalidValue("out_of_range", f"expected {text}")
        return exact_integer(number, text) if whole else number

    return check


def to_float(value: float, text: str) -> float:
    """Return a number as a float."""
    try:
        return float(value)
    except OverflowError:
        raise InvalidValue("not_finite", f"the number is too large or infinite: send {text}") from None


def exact_integer(value: float, text: str) -> int:
    """Return a whole number as an int."""
    if value != int(value):
        raise InvalidValue("not_an_integer", f"expected {text}")
    if abs(value) > MAX_EXACT_INTEGER:
        limits = f"-{MAX_EXACT_INTEGER:,} to {MAX_EXACT_INTEGER:,}"
        raise InvalidValue("out_of_range", f"expected a whole number from {limits}")
    return int(value)


def boolean_check(feature: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return the check of a boolean."""

    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise InvalidValue("wrong_type", f"expected {expected(feature)}")
        return value

    return check


def text_check(feature: Mapping[str, Any]) -> Callable[[Any], str]:
    """Return the check of a free text."""
    return string_check(expected(feature), 0, feature["longest"])


def string_check(text: str, shortest: int, longest: int) -> Callable[[Any], str]:
    """Return the check of a string of a length."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise InvalidValue("wrong_type", f"expected {text}")
        if not shortest <= len(value) <= longest:
            raise InvalidValue("wrong_length", f"expected {text}")
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            message = "the text has half of a surrogate pair, which is not a Unicode character"
            raise InvalidValue("invalid_text", message)
        return value

    return check


def category_check(feature: Mapping[str, Any]) -> Callable[[Any], str]:
    """Return the check of a category."""
    text, categories = expected(feature), frozenset(feature["categories"] or ())
    spell = spelling(feature["categories"] or (), feature.get("normalize", ()))
    accept = string_check(text, 1, MAX_CATEGORY_CHARACTERS)

    def check(value: Any) -> str:
        category = spell(value) if isinstance(value, str) else value
        if feature["unknown"] == "accept":
            return accept(category)
        if not isinstance(category, str):
            raise InvalidValue("wrong_type", f"expected {text}")
        if category not in categories:
            raise InvalidValue("unknown_category", f"expected {text}")
        return category

    return check


#: A time of RFC 3339; the colon of its offset may be missing.
TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:?[0-9]{2})?"
)


def time_check(feature: Mapping[str, Any]) -> Callable[[Any], datetime]:
    """Return the check of a time."""

    def check(value: Any) -> datetime:
        if not isinstance(value, str):
            raise InvalidValue("wrong_type", f"expected {expected(feature)}")
        time = read_time(value)
        if time is None or (time.tzinfo is not None) != feature["zoned"]:
            raise InvalidValue("invalid_datetime", f"expected {expected(feature)}")
        return time

    return check


def read_time(text: str) -> datetime | None:
    """Return the time of a text of RFC 3339, to the microsecond; None for another text."""
    match = TIME.fullmatch(text)
    if not match:
        return None
    microseconds = (int((match[7] or ".")[1:8].ljust(7, "0")) + 5) // 10
    try:
        time = datetime(*map(int, match.groups()[:6]), tzinfo=read_offset(match[8]))  # type: ignore[misc,arg-type]
        return time + timedelta(microseconds=microseconds)
    except (ValueError, OverflowError):
        return None


def read_offset(text: str | None) -> timezone | None:
    """Return the time zone of an offset such as +02:00.

    Raises:
        ValueError: If it has more than 23 hours or 59 minutes.
    """
    if text is None or text in "Zz":
        return text and UTC  # type: ignore[return-value]
    hours, minutes = int(text[1:3]), int(text[-2:])
    if minutes > 59:
        raise ValueError
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def tensor_check(feature: Mapping[str, Any]) -> Callable[[Any], "np.ndarray[Any, Any]"]:
    """Return the check of a tensor: nested lists."""
    check_number, sizes, text = element_check(feature), array_sizes(feature), expected(feature)

    def check_lists(value: Any, shape: list[int], place: tuple[int, ...]) -> None:
        where = "at " + "".join(f"[{index}]" for index in place) if place else ""
        if len(place) == len(sizes):
            check_number(where, json_value(value))
            return
        if not isinstance(value, list):
            raise InvalidValue("wrong_type", f"expected {text}{where and f'; it has no list {where}'}")
        first = shape[len(place)]
        if len(value) != first:
            message = f"the list {where} has {len(value):,} items, and the first one of its axis {first:,}"
            raise InvalidValue("wrong_length", f"expected {text}; {message}")
        for index, item in enumerate(value):
            check_lists(item, shape, (*place, index))

    def check(value: Any) -> "np.ndarray[Any, Any]":
        value = with_lists(value)
        shape, inner = [], value
        while isinstance(inner, list):
            shape.append(len(inner))
            inner = inner[0] if inner else None
        check_lists(value, shape, ())
        is_legal = all(low <= size <= high for size, (low, high) in zip(shape, sizes, strict=False))
        if len(shape) != len(sizes) or not is_legal:
            raise InvalidValue("wrong_length", f"expected {text}; it has the shape {shape}")
        return np.array(value, np.float64)

    return check


def with_lists(value: Any) -> Any:
    """Return nested lists in which arrays of numpy, as frames may have them, are lists."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return list(map(with_lists, value)) if isinstance(value, list) else value


def list_check(feature: Mapping[str, Any]) -> Callable[[Any], list[float]]:
    """Return the check of a vector or a sequence."""
    check_number = element_check(feature)
    ((shortest, longest),) = array_sizes(feature)

    def check(value: Any) -> list[float]:
        if not isinstance(value, list):
            raise InvalidValue("wrong_type", f"expected {expected(feature)}")
        if not shortest <= len(value) <= longest:
            raise InvalidValue("wrong_length", f"expected {expected(feature)}; it has {len(value):,}")
        return [check_number(f"at index {index}", json_value(number)) for index, number in enumerate(value)]

    return check


def element_check(feature: Mapping[str, Any]) -> Callable[[str, Any], float]:
    """Return the check of one number of a list or a tensor, from its place and its value."""
    whole, noun = feature["integers"], f"a {'whole ' * feature['integers']}number"
    text = noun + list_range(feature)
    largest: float = MAX_EXACT_INTEGER if whole else sys.float_info.max
    low = -largest if feature["minimum"] is None else feature["minimum"]
    high = largest if feature["maximum"] is None else feature["maximum"]
    bounds = text if list_range(feature) else f"{noun} from -{MAX_EXACT_INTEGER:,} to {MAX_EXACT_INTEGER:,}"

    def check(where: str, number: Any) -> float:
        if number is None:
            raise InvalidValue("not_nullable", f"null {where} is not accepted: send {text}")
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise InvalidValue("wrong_type", f"expected {text} {where}")
        if not abs(number) <= sys.float_info.max:
            raise InvalidValue("not_finite", f"the number {where} is NaN, infinite or too large: send {text}")
        if whole and number != int(number):
            raise InvalidValue("not_an_integer", f"expected {text} {where}")
        if not low <= number <= high:
            raise InvalidValue("out_of_range", f"expected {bounds} {where}")
        return int(number) if whole else float(number)

    return check


def image_check(feature: Mapping[str, Any]) -> Callable[[Any], "np.ndarray[Any, Any]"]:
    """Return the check of an image: the file as bytes or in base64. It needs Pillow."""

    def check(value: Any) -> "np.ndarray[Any, Any]":
        if not isinstance(value, str | bytes):
            raise InvalidValue("wrong_type", f"expected {expected(feature)}")
        try:
            content = base64.b64decode(value, validate=True) if isinstance(value, str) else value
        except ValueError:
            message = "the text is not base64 (RFC 4648); send it without spaces and without `data:`"
            raise InvalidValue("invalid_image", message) from None
        return pixels(feature, content)

    return check


#: The largest image that is resized, in pixels; and Pillow's modes of at most 8 bits per channel.
MAX_PIXELS, MODES = 50_000_000, ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def pixels(feature: Mapping[str, Any], content: bytes) -> "np.ndarray[Any, Any]":
    """Return the pixels of a PNG or JPEG file, uint8 [height, width, channels]."""
    from PIL import Image  # noqa: PLC0415 (only models with images need it)

    size = feature["width"], feature["height"]
    too_large = f"the image has more than {MAX_PIXELS:,} pixels; send at most that many, for {expected(feature)}"
    if not content.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        raise InvalidValue("invalid_image", "the value is not a PNG or JPEG file")
    try:
        image: Any = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
    except Image.DecompressionBombError:
        raise InvalidValue("invalid_image", too_large) from None
    except (OSError, ValueError, SyntaxError, EOFError):
        raise InvalidValue("invalid_image", "the file is damaged: its header cannot be read") from None
    if not feature["resize"] and image.size != size:
        width, height = image.size
        message = f"expected {size[0]} x {size[1]} pixels; it has {width:,} x {height:,}"
        raise InvalidValue("invalid_image", message)
    if image.size[0] * image.size[1] > MAX_PIXELS:
        raise InvalidValue("invalid_image", too_large)
    if image.mode not in MODES or (image.format == "PNG" and content[24] > 8):
        raise InvalidValue("invalid_image", "expected at most 8 bits per channel; it has more")
    try:
        image = image.convert("L" if feature["channels"] == 1 else "RGB")
    except Exception:  # the decoders raise errors of many types
        raise InvalidValue("invalid_image", "the file is damaged: its pixels cannot be read") from None
    image = image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).reshape(size[1], size[0], feature["channels"])


USUAL_CHECKS = {
    "numeric": number_check,
    "integer": number_check,
    "boolean": boolean_check,
    "categorical": category_check,
    "datetime": time_check,
    "text": text_check,
    "vector": list_check,
    "sequence": list_check,
    "tensor": tensor_check,
    "image": image_check,
}


def expected(feature: Mapping[str, Any]) -> str:
    """Return what a value of a field must be, as the noun phrase after "expected"."""
    match feature["kind"]:
        case "numeric" | "integer":
            return expected_number(feature)
        case "boolean":
            return "true or false"
        case "image":
            size = f"{feature['width']} x {feature['height']} pixels"
            return (
                f"a PNG or JPEG file in base64, {f'which is resized to {size}' if feature['resize'] else f'of {size}'}"
            )
        case "tensor":
            bounds = list_range(feature)
            shape = ", ".join(f"{low}" if low == high else f"{low} to {high}" for low, high in array_sizes(feature))
            numbers = f"{'whole ' * feature['integers']}numbers of the shape [{shape}]"
            return f"nested lists of {numbers}{', each' * bool(bounds)}{bounds}"
        case "vector" | "sequence":
            bounds, ((low, high),) = list_range(feature), array_sizes(feature)
            numbers = f"{low if low == high else f'{low} to {high}'} {'whole ' * feature['integers']}numbers"
            return f"a list of {numbers}{', each' * bool(bounds)}{bounds}"
        case "categorical":
            return expected_category(feature)
        case "datetime" if feature["zoned"]:
            return "a time with a UTC offset, such as 2013-11-01T17:05:00Z"
        case "datetime":
            return "a local time without a UTC offset, such as 2013-11-01T17:05:00"
    return f"a string of at most {feature['longest']} characters"


def expected_number(feature: Mapping[str, Any]) -> str:
    """Return the noun phrase of a number with the bounds that the contract enforces."""
    noun = "a whole number" if feature["kind"] == "integer" else "a number"
    low, high = (bound_text(feature[end]) for end in ("minimum", "maximum"))
    if feature["out_of_range"] != "reject" or not (low or high):
        return noun
    if low and high:
        return f"{noun} from {low} to {high}"
    return f"{noun} of at least {low}" if low else f"{noun} of at most {high}"


def array_sizes(feature: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return the smallest and the largest size of each axis of a vector, a sequence or a tensor."""
    if feature["kind"] == "vector":
        return [(feature["length"], feature["length"])]
    if feature["kind"] == "sequence":
        return [(feature["shortest"], feature["longest"])]
    return [(size, size) if isinstance(size, int) else (size[0], size[1]) for size in feature["shape"]]


def list_range(feature: Mapping[str, Any]) -> str:
    """Return the bounds of the numbers of a list, as the end of a noun phrase."""
    low, high = (bound_text(feature[end]) for end in ("minimum", "maximum"))
    if low and high:
        return f" from {low} to {high}"
    if low:
        return f" of at least {low}"
    return f" of at most {high}" if high else ""


def bound_text(bound: float | None) -> str | None:
    """Return every digit of a bound, without a trailing ``.0``."""
    return None if bound is None else repr(bound).removesuffix(".0")


def expected_category(feature: Mapping[str, Any]) -> str:
    """Return the noun phrase of a category."""
    categories = feature["categories"]
    if feature["unknown"] == "accept" or categories is None:
        return f"a string of 1 to {MAX_CATEGORY_CHARACTERS} characters"
    if len(categories) > 20:
        return f"one of the {len(categories)} categories in the answer of GET /model"
    return "one of " + ", ".join(f"'{category}'" for category in categories)


def or_null(feature: Mapping[str, Any]) -> str:
    """Return " or null" if the field may be null."""
    return " or null" if feature["nullable"] else ""


# Texts that count as a category, and texts in the form of the table


def spelling(categories: Sequence[str], steps: Sequence[str]) -> Callable[[str], str]:
    """Return the function that returns the category that a text counts as, and another text unchanged.

    Args:
        categories: The categories.
        steps: The differences that do not count: "trim", "case" and "unicode".
    """
    if not steps:
        return str
    by_form = {normal_form(category, steps): category for category in categories}
    longest = max(len(unicodedata.normalize("NFKD", form)) for form in by_form)

    def spell(text: str) -> str:
        if text in categories:
            return text
        trimmed = text.strip() if "trim" in steps else text
        if not trimmed or len(trimmed) > longest:
            return text if trimmed else ""
        return by_form.get(normal_form(trimmed, steps), text)

    return spell


def normal_form(text: str, steps: Sequence[str]) -> str:
    """Return a text without the differences that do not count."""
    form = text.strip() if "trim" in steps else text
    if "case" in steps and "unicode" in steps:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", form).casefold())
        form = unicodedata.normalize("NFKC", folded.casefold())
    elif "unicode" in steps:
        form = unicodedata.normalize("NFKC", form)
    elif "case" in steps:
        form = form.casefold()
    return form.strip() if "trim" in steps else form


def form_reader(form: str) -> Callable[[str], Any]:
    """Return the function that returns the value of a text in a form, and None for another text.

    Args:
        form: The number 1234.5 as it is written (``1.234,5``), the directives of a time (``%d/%m/%Y``), or the words
            for true and false (``yes/no``).
    """
    if re.search(r"1\D?234", form):
        return number_reader(form)
    if re.search("%[A-Za-z]", form):
        return lambda text: read_formed_time(form, text)
    true, false = (word.strip().casefold() for word in form.split("/"))
    return lambda text: {true: True, false: False}.get(text.strip().casefold())


#: Spaces that do not break a line, and the minus sign, with what they count as.
SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2212": "-"})

#: The number 1234.5 in a form: what is before and after it, and its separators.
NUMBER_FORM = re.compile(
    r"(?P<prefix>[^\d()+-]*?) ?1(?P<thousands>[.,'\u2019 ]?)234(?:(?P<decimal>[.,])5)? ?(?P<suffix>[^\d()+-]*)"
)


def number_reader(form: str) -> Callable[[str], float | None]:
    """Return the function that returns the number of a text in a form such as ``$1,234.5``; see :func:`form_reader`."""
    parts = NUMBER_FORM.fullmatch(form.translate(SPACES))
    assert parts
    thousands = parts["thousands"]
    decimal = parts["decimal"] or ("," if thousands == "." else ".")
    pattern = number_pattern(parts["prefix"].strip(), thousands, decimal, parts["suffix"].strip())

    def read(text: str) -> float | None:
        match = pattern.match(text.translate(SPACES).strip())
        if not match:
            return None
        signs = match["first_sign"] + match["second_sign"] + match["last_sign"] + match["open"]
        digits = match["integer"].replace(thousands, "") if thousands else match["integer"]
        if len(signs) > 1 or bool(match["open"]) != bool(match["close"]) or not digits + (match["decimals"] or ""):
            return None
        number = float(f"{digits or '0'}.{match['decimals'] or '0'}{match['exponent']}")
        return -number if signs in ("-", "(") else number

    return read


def number_pattern(prefix: str, thousands: str, decimal: str, suffix: str) -> re.Pattern[str]:
    """Return the pattern of a number with these separators, and a text before and after it that may be missing."""
    before, after = (f"(?:{re.escape(text)})?" for text in (prefix, suffix))
    groups = rf"[1-9][0-9]{{0,2}}(?:{re.escape(thousands)}[0-9]{{3}})+|" if thousands else ""
    groups += "[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}|" if thousands == "," else ""
    return re.compile(
        rf"^(?P<open>\(?) ?(?P<first_sign>[-+]?) ?{before} ?(?P<second_sign>[-+]?) ?"
        rf"(?P<integer>{groups}[0-9]*)(?:{re.escape(decimal)}(?P<decimals>[0-9]*))?(?P<exponent>(?:[eE][-+]?[0-9]+)?)"
        rf" ?{after} ?(?P<last_sign>-?) ?(?P<close>\)?)$"
    )


def read_formed_time(directives: str, text: str) -> datetime | None:
    """Return the time of a text by directives of strptime; see :func:`form_reader`. Missing parts are 1970-01-01."""
    has_date, has_day = re.search("%[Yy]", directives), re.search("%[dj]", directives)
    date_part = "" if has_date else "1970-01-01 "
    day_part = " 01" if has_date and not has_day else ""
    full = f"{date_part and '%Y-%m-%d '}{directives}{day_part and ' %d'}"
    try:
        time = datetime.strptime(f"{date_part}{text.strip()}{day_part}", full)
    except ValueError:
        return None
    is_zoned = "%z" in directives or directives.endswith(("UTC", "Z", "GMT"))
    return time.replace(tzinfo=UTC) if is_zoned and time.tzinfo is None else time


# From the outputs of the graph to predictions


def predictions(output: Mapping[str, Any], arrays: Arrays) -> list[dict[str, Any]]:
    """Return one prediction per row.

    Args:
        output: The output of the contract.
        arrays: ``probabilities`` [rows, labels]; or ``value`` and maybe ``lower`` and ``upper``
            [rows, 1]; or ``values`` [rows, numbers].
    """
    if output["kind"] == "classification":
        return list(labelled(output, arrays["probabilities"]))
    if output["kind"] == "vector":
        targets, values = output["names"], arrays["values"].tolist()
        return [{"values": row if targets is None else dict(zip(targets, row, strict=True))} for row in values]
    names = ("value", "lower", "upper") if output.get("interval", True) else ("value",)
    rows = zip(*(arrays[name][:, 0].tolist() for name in names), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def labelled(output: Mapping[str, Any], probabilities: "np.ndarray[Any, Any]") -> Iterator[dict[str, Any]]:
    """Yield the prediction of each row of probabilities, float32 [rows, labels]; thresholds are float32 as well."""
    labels, threshold, set_threshold = (output[name] for name in ("labels", "threshold", "set_threshold"))
    for row in probabilities:
        chosen = int(row.argmax()) if threshold is None else int(row[1] >= np.float32(threshold))
        prediction: dict[str, Any] = {"decision": labels[chosen]}
        prediction["probabilities"] = dict(zip(labels, row.tolist(), strict=True))
        if set_threshold is not None:
            in_set = row >= min(np.float32(set_threshold), row.max())
            prediction["set"] = [label for label, is_in in zip(labels, in_set.tolist(), strict=True) if is_in]
        yield prediction
