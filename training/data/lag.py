"""A lag: the value of a column in an earlier row of the same series.

``lag(sales, 7, by=store)`` in an expression is the value of ``sales`` in the row of the same store 7 rows before, in
the order of ``data.time``. It is the column ``sales_lag_7``: training computes it, and a caller, who has the history,
sends it as a field.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass

#: The largest number of rows to look back, and the largest number for a rolling mean: each is a field of a request.
MAX_ROWS, MAX_WINDOW = 10_000, 60

#: What a call looks like, for messages.
EXAMPLES = {"lag": "lag(sales, 7)` or `lag(sales, 7, by=store)", "rolling_mean": "rolling_mean(sales, 7, by=store)"}


@dataclass(frozen=True)
class Lag:
    """A column of earlier values.

    Attributes:
        column: The column with the values.
        rows: How many rows before, at least 1.
        by: The column whose values tell series apart; None if the table is one series.
    """

    column: str
    rows: int
    by: str | None = None

    @property
    def name(self) -> str:
        """The name of the column of earlier values."""
        return f"{self.column}_lag_{self.rows}"

    @property
    def description(self) -> str:
        """What the column means, for callers."""
        row = "the row before" if self.rows == 1 else f"the row {self.rows} rows before"
        return f"The value of '{self.column}' in {row}{f', with the same {self.by!r}' if self.by else ''}."


def lags_of_call(call: ast.Call, names: Mapping[str, str]) -> tuple[Lag, ...]:
    """Return the lags that a call of ``lag`` or ``rolling_mean`` needs.

    Args:
        call: The call.
        names: The names of columns in backticks, by the names that the syntax tree has for them.

    Raises:
        ValueError: if the arguments are wrong.
    """
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    match call.args, call.keywords:
        case [ast.Name(id=column), ast.Constant(value=int() as rows)], [] | [ast.keyword(arg="by")]:
            by = next((keyword.value for keyword in call.keywords), None)
            if by is None or isinstance(by, ast.Name):
                return _lags(name, names.get(column, column), rows, names.get(by.id, by.id) if by else None)
    raise ValueError(f"`{name}` is written as `{EXAMPLES[name]}`")


def _lags(name: str, column: str, rows: int, by: str | None) -> tuple[Lag, ...]:
    most = MAX_ROWS if name == "lag" else MAX_WINDOW
    if isinstance(rows, bool) or not 1 <= rows <= most:
        raise ValueError(f"the second argument of `{name}` is a number of rows from 1 to {most:,}")
    counts = (rows,) if name == "lag" else range(1, rows + 1)
    return tuple(Lag(column, count, by) for count in counts)
