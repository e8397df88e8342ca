"""The language of own features: expressions over the columns of a table, such as ``log(price / area)``.

An expression has a part of the syntax of Python: numbers, texts, names of columns (in backticks if they are not names
in Python), ``+ - * / % **``, comparisons, ``in``, ``and``, ``or``, ``not``, ``a if b else c``, the functions of
:data:`FUNCTIONS`, statistics by group, and values of earlier rows (:mod:`training.data.lag`). Nothing of it is executed
as Python: it becomes a tree of the operations of :mod:`training.data.expression_values`, which
:mod:`training.preprocessing.expression_nodes` has in the served graph.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from model_deployer.training.data.lag import Lag, lags_of_call

ValueType = Literal["number", "boolean", "time", "duration", "text"]

#: The type of a column by the kind of its feature.
COLUMN_TYPES: Mapping[str, ValueType] = {
    "numeric": "number",
    "integer": "number",
    "boolean": "boolean",
    "datetime": "time",
    "categorical": "text",
    "text": "text",
}

#: The operations whose result is a boolean.
_CONDITIONS = frozenset({"and", "or", "not", "less", "less_or_equal", "equal", "is_missing"})

#: The statistics of a column by the values of another one.
STATISTICS = ("mean", "median", "min", "max", "std", "count")

#: The functions of values of earlier rows; see :mod:`training.data.lag`.
LAG_FUNCTIONS = ("lag", "rolling_mean")

_DAY = 86_400.0


class ExpressionError(ValueError):
    """An expression that cannot be used."""


@dataclass(frozen=True, eq=False)
class Node:
    """A step of an expression.

    Attributes:
        operation: The name of the operation; ``column`` and ``constant`` have no arguments.
        type: The type of its value.
        arguments: The steps before it.
        value: The name of a column, a constant, a pattern, or the statistic of a table and the numbers it is about.
    """

    operation: str
    type: ValueType
    arguments: tuple["Node", ...] = ()
    value: Any = None

    def walk(self) -> Iterator["Node"]:
        """Yield this step and all steps before it; each once, arguments first."""
        known: set[int] = set()

        def visit(node: "Node") -> Iterator["Node"]:
            if id(node) in known:
                return
            known.add(id(node))
            for argument in node.arguments:
                yield from visit(argument)
            yield node

        return visit(self)

    @property
    def columns(self) -> set[str]:
        """The names of the columns that the expression uses."""
        names = {node.value for node in self.walk() if node.operation == "column"}
        tables = [node.value[1] for node in self.walk() if node.operation == "table"]
        return names.union(*(numbers.columns for numbers in tables))


def parse(text: str, kinds: Mapping[str, str]) -> Node:
    """Parse an expression whose value is a number or a boolean.

    Args:
        text: The expression.
        kinds: The kinds of the columns, by name.

    Raises:
        ExpressionError: if it is not one. The message says what was expected.
    """
    tree, names = _syntax_tree(text)
    node = _Parser(kinds, names).parse(tree)
    if node.type not in ("number", "boolean"):
        advice = "use days(...) or hours(...)" if node.type == "duration" else "compare it, or apply a function to it"
        raise ExpressionError(f"`{text}` is a {node.type}, not a number or a boolean; {advice}")
    if not node.columns:
        raise ExpressionError(f"`{text}` uses no column")
    return node


def lags_of(text: str) -> tuple[Lag, ...]:
    """Return the lags that an expression needs; each is a column of the table for :func:`parse`.

    Raises:
        ExpressionError: if it is not an expression, or a lag is not written as it should be.
    """
    tree, names = _syntax_tree(text)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name_of_function(node) in LAG_FUNCTIONS]
    return tuple(dict.fromkeys(lag for call in calls for lag in _lags(call, names)))


def _syntax_tree(text: str) -> tuple[ast.expr, Mapping[str, str]]:
    """Return the syntax tree of Python, and the names of columns in backticks by their names in the tree."""
    placeholders: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        return placeholders.setdefault(match[1], f"_column{len(placeholders)}")

    source = re.sub(r"`([^`]+)`", replace, text)
    try:
        tree = ast.parse(source.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"`{text}` is not an expression, such as `price / area`") from None
    return tree.body, {placeholder: name for name, placeholder in placeholders.items()}


def _name_of_function(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _lags(call: ast.Call, names: Mapping[str, str]) -> tuple[Lag, ...]:
    try:
        return lags_of_call(call, names)
    except ValueError as error:
        raise ExpressionError(str(error)) from None


class _Parser:
    """Turns the syntax tree of Python into steps."""

    def __init__(self, kinds: Mapping[str, str], placeholders: Mapping[str, str]) -> None:
        self._kinds = kinds
        self._placeholders = placeholders

    def parse(self, tree: ast.expr) -> Node:
        match tree:
            case ast.Constant(value=bool()):
                raise ExpressionError("true and false are written as comparisons, such as `holiday == 1`")
            case ast.Constant(value=int() | float() as value):
                return _constant(float(value))
            case ast.Constant(value=str() as value):
                return Node("constant", "text", value=value)
            case ast.Name(id=name):
                return self._column(self._placeholders.get(name, name))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _apply("negative", self._of_type(operand, "number"))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return _apply("not", self._of_type(operand, "boolean"))
            case ast.BinOp(left=left, op=operator, right=right):
                return self._arithmetic(type(operator), self.parse(left), self.parse(right))
            case ast.BoolOp(op=operator, values=values):
                name = "and" if isinstance(operator, ast.And) else "or"
                return self._fold(name, [self._of_type(value, "boolean") for value in values])
            case ast.Compare(left=left, ops=operators, comparators=comparators):
                return self._comparison(left, operators, comparators)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                parts = [self._of_type(body, "number"), self._of_type(orelse, "number")]
                return _apply("where", self._of_type(test, "boolean"), *parts)
            case ast.Call(func=ast.Name(id=name)):
                return self._call(name, tree)
        raise ExpressionError(f"{_name_of(tree)} is not part of the language of expressions")

    def _column(self, name: str) -> Node:
        if name not in self._kinds:
            raise ExpressionError(f"'{name}' is not a feature of the table")
        return Node("column", COLUMN_TYPES[self._kinds[name]], value=name)

    def _of_type(self, tree: ast.expr, expected: ValueType) -> Node:
        return _require(self.parse(tree), expected)

    def _arithmetic(self, operator: type[ast.operator], left: Node, right: Node) -> Node:
        if operator is ast.Sub and left.type == right.type == "time":
            return Node("subtract", "duration", (left, right))
        names: dict[type[ast.operator], str] = {
            ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.Pow: "power",
        }  # fmt: skip
        left, right = _require(left, "number"), _require(right, "number")
        if operator is ast.Mod:
            return _apply("subtract", left, _apply("multiply", right, _floor(_apply("divide", left, right))))
        if operator not in names:
            raise ExpressionError("the operators of numbers are + - * / % **")
        return _apply(names[operator], left, right)

    def _fold(self, name: str, nodes: Sequence[Node]) -> Node:
        result = nodes[0]
        for node in nodes[1:]:
            result = _apply(name, result, node)
        return result

    def _comparison(self, left: ast.expr, operators: Sequence[ast.cmpop], comparators: Sequence[ast.expr]) -> Node:
        parts, first = [], self.parse(left)
        for operator, comparator in zip(operators, comparators, strict=True):
            if isinstance(operator, ast.In | ast.NotIn):
                parts.append(self._membership(first, comparator, is_negated=isinstance(operator, ast.NotIn)))
                continue
            second = self.parse(comparator)
            parts.append(_compare(type(operator), first, second))
            first = second
        return self._fold("and", parts)

    def _membership(self, node: Node, values: ast.expr, *, is_negated: bool) -> Node:
        if not isinstance(values, ast.Tuple | ast.List | ast.Set):
            raise ExpressionError("`in` needs a list of values, such as `state in ('NY', 'NJ')`")
        constants = [self.parse(value) for value in values.elts]
        if not constants or any(constant.operation != "constant" for constant in constants):
            raise ExpressionError("`in` needs a list of numbers or texts")
        result = self._fold("or", [_compare(ast.Eq, node, constant) for constant in constants])
        return _apply("not", result) if is_negated else result

    def _call(self, name: str, call: ast.Call) -> Node:
        if name in LAG_FUNCTIONS:
            columns = [_require(self._column(lag.name), "number") for lag in _lags(call, self._placeholders)]
            total = self._fold("add", columns)
            return total if len(columns) == 1 else _apply("divide", total, _constant(len(columns)))
        arguments = [self.parse(argument) for argument in call.args]
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        if keywords.keys() == {"by"} and name in STATISTICS:
            group = _require(self.parse(keywords["by"]), "text")
            if group.operation != "column" or len(arguments) != (name != "count"):
                example = f"{name}(by=column)" if name == "count" else f"{name}(x, by=column)"
                raise ExpressionError(f"`{name}` by group is written as `{example}`")
            numbers = _require(arguments[0], "number") if arguments else _constant(1)
            if any(node.operation == "table" for node in numbers.walk()):
                raise ExpressionError(f"`{name}` by group cannot be applied to a statistic by group")
            return Node("table", "number", (group,), (name, numbers))
        if keywords or name not in FUNCTIONS:
            raise ExpressionError(
                f"there is no function `{name}`; there are {', '.join(sorted([*FUNCTIONS, *LAG_FUNCTIONS]))}"
            )
        types, build = FUNCTIONS[name]
        if len(arguments) != len(types):
            raise ExpressionError(f"`{name}` has {len(types)} argument{'s' * (len(types) > 1)}")
        return build(*(_require(argument, kind) for argument, kind in zip(arguments, types, strict=True)))


def _require(node: Node, expected: ValueType) -> Node:
    if node.type == expected:
        return node
    if node.type == "boolean" and expected == "number":
        return _apply("number_of", node)
    raise ExpressionError(f"expected a {expected}, but {_describe(node)} is a {node.type}")


def _describe(node: Node) -> str:
    return f"'{node.value}'" if node.operation == "column" else "a part of the expression"


def _name_of(tree: ast.expr) -> str:
    return f"`{ast.unparse(tree)[:40]}`"


def _constant(value: float) -> Node:
    return Node("constant", "number", value=value)


def _apply(operation: str, *arguments: Node) -> Node:
    """Apply an operation whose result is a boolean or a number."""
    return Node(operation, "boolean" if operation in _CONDITIONS else "number", arguments)


def _compare(operator: type[ast.cmpop], left: Node, right: Node) -> Node:
    left, right = _as_time(left, right), _as_time(right, left)
    if left.type == "text" or right.type == "text":
        return _compare_text(operator, left, right)
    if left.type != right.type:
        left, right = _require(left, "number"), _require(right, "number")
    if left.type == "boolean":
        left, right = _require(left, "number"), _require(right, "number")
    if left.type == "duration":
        raise ExpressionError("compare days(...) or hours(...) with a number")
    match operator:
        case ast.Lt:
            return _apply("less", left, right)
        case ast.LtE:
            return _apply("less_or_equal", left, right)
        case ast.Gt:
            return _apply("less", right, left)
        case ast.GtE:
            return _apply("less_or_equal", right, left)
        case ast.Eq:
            return _apply("equal", left, right)
        case ast.NotEq:
            return _apply("not", _apply("equal", left, right))
    raise ExpressionError("the comparisons are < <= > >= == != in")


def _as_time(node: Node, other: Node) -> Node:
    """Return a constant text that is compared with a time as a time."""
    if node.operation != "constant" or node.type != "text" or other.type != "time":
        return node
    try:
        time = datetime.fromisoformat(node.value)
    except ValueError:
        raise ExpressionError("a time is compared with a date or time of ISO 8601, such as '2024-01-31'") from None
    return Node("constant", "time", value=(time.replace(tzinfo=time.tzinfo or UTC)).timestamp())


def _compare_text(operator: type[ast.cmpop], left: Node, right: Node) -> Node:
    if left.operation == "constant":
        left, right = right, left
    left = _require(left, "text")
    if right.operation != "constant" or right.type != "text" or operator not in (ast.Eq, ast.NotEq):
        raise ExpressionError("a text is compared with a constant text, by == or != or in")
    equal = Node("equal_text", "boolean", (left,), right.value)
    return equal if operator is ast.Eq else _apply("not", equal)


def _floor(node: Node) -> Node:
    return _apply("floor", node)


def _add(left: Node, right: Node | float) -> Node:
    return _apply("add", left, right if isinstance(right, Node) else _constant(right))


def _subtract(left: Node, right: Node | float) -> Node:
    return _apply("subtract", left, right if isinstance(right, Node) else _constant(right))


def _multiply(left: Node, right: float) -> Node:
    return _apply("multiply", left, _constant(right))


def _quotient(left: Node, right: float) -> Node:
    """Return the whole part of a quotient."""
    return _floor(_apply("divide", left, _constant(right)))


def _seconds_of_day(time: Node) -> Node:
    return _subtract(time, _multiply(_quotient(time, _DAY), _DAY))


def _hour(time: Node) -> Node:
    return _quotient(_seconds_of_day(time), 3600)


def _minute(time: Node) -> Node:
    seconds = _seconds_of_day(time)
    return _quotient(_subtract(seconds, _multiply(_quotient(seconds, 3600), 3600)), 60)


def _weekday(time: Node) -> Node:
    """Return the weekday, 0 for Monday: 1 January 1970 was a Thursday."""
    days = _add(_quotient(time, _DAY), 3)
    return _subtract(days, _multiply(_quotient(days, 7), 7))


def _date(time: Node) -> tuple[Node, Node, Node]:
    """Return year, month and day of the Gregorian calendar.

    The algorithm counts days from 1 March of the year 0 in eras of 400 years: Hinnant, "chrono-Compatible Low-Level
    Date Algorithms".
    """
    days = _add(_quotient(time, _DAY), 719_468)
    era = _quotient(days, 146_097)
    day_of_era = _subtract(days, _multiply(era, 146_097))
    leap_days = _subtract(
        _subtract(_add(day_of_era, _quotient(day_of_era, 36_524)), _quotient(day_of_era, 1_460)),
        _quotient(day_of_era, 146_096),
    )
    year_of_era = _quotient(leap_days, 365)
    days_before = _subtract(_add(_multiply(year_of_era, 365), _quotient(year_of_era, 4)), _quotient(year_of_era, 100))
    day_of_year = _subtract(day_of_era, days_before)
    shifted_month = _quotient(_add(_multiply(day_of_year, 5), 2), 153)
    day = _add(_subtract(day_of_year, _quotient(_add(_multiply(shifted_month, 153), 2), 5)), 1)
    is_late = _apply("less", _constant(9.5), shifted_month)
    month = _add(shifted_month, _apply("where", is_late, _constant(-9), _constant(3)))
    year = _add(_add(year_of_era, _multiply(era, 400)), _apply("where", is_late, _constant(1), _constant(0)))
    return year, month, day


def _per(seconds: float) -> Callable[[Node], Node]:
    return lambda duration: _apply("divide", Node("seconds", "number", (duration,)), _constant(seconds))


def _text_constant(node: Node, name: str) -> str:
    if node.operation != "constant":
        raise ExpressionError(f"the second argument of `{name}` is a constant text")
    return str(node.value)


def _contains(text: Node, part: Node) -> Node:
    pattern = re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", _text_constant(part, "contains"))
    return Node("matches", "boolean", (text,), f"(?s:.*){pattern}(?s:.*)")


def _matches(text: Node, pattern: Node) -> Node:
    return Node("matches", "boolean", (text,), _text_constant(pattern, "matches"))


def _simple(operation: str) -> Callable[..., Node]:
    return lambda *arguments: _apply(operation, *arguments)


#: The functions: the types of their arguments, and what builds their steps.
FUNCTIONS: Mapping[str, tuple[tuple[ValueType, ...], Callable[..., Node]]] = {
    **{name: (("number",), _simple(name)) for name in ("abs", "sqrt", "log", "exp", "floor", "ceil", "is_missing")},
    "log1p": (("number",), lambda x: _apply("log", _add(x, 1))),
    "min": (("number", "number"), _simple("minimum")),
    "max": (("number", "number"), _simple("maximum")),
    "fill": (("number", "number"), lambda x, value: _apply("where", _apply("is_missing", x), value, x)),
    "year": (("time",), lambda time: _date(time)[0]),
    "month": (("time",), lambda time: _date(time)[1]),
    "day": (("time",), lambda time: _date(time)[2]),
    "weekday": (("time",), _weekday),
    "hour": (("time",), _hour),
    "minute": (("time",), _minute),
    "days": (("duration",), _per(_DAY)),
    "hours": (("duration",), _per(3600)),
    "minutes": (("duration",), _per(60)),
    "seconds": (("duration",), _per(1)),
    "length": (("text",), _simple("length")),
    "contains": (("text", "text"), _contains),
    "matches": (("text", "text"), _matches),
}
