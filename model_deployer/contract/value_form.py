"""The forms in which people write numbers, times and booleans as text.

A form is the rule for all texts of one column. Training reads the table by it, and the service reads requests by it, so
that a caller may send the text of the table or the usual value of JSON: both mean the same.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

#: The pattern of a number: 1234.5 as it is written, such as ``$1,234.5``. Its parts show the separators.
_PATTERN = re.compile(
    r"(?P<prefix>[^\d()+-]*?) ?(?P<body>1(?P<thousands>[.,'\u2019 ]?)234(?:(?P<decimal>[.,])5)?) ?"
    r"(?P<suffix>[^\d()+-]*)"
)

#: Spaces that do not break a line, which many programs write between the digits of a number.
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2212": "-"})

_SIGN = "[-+]?"

#: What prices have in place of decimals that are zero: 5,- and 5,-- are 5.
NO_CENTS = "--?|[\u2013\u2014]"


@dataclass(frozen=True)
class NumberForm:
    """The form of numbers in text.

    A text may also have blanks around it, a sign at either end, the parentheses of accounting for a negative number,
    and a dash in place of decimals that are zero.

    Attributes:
        prefix: The text before a number, such as a currency; a number may lack it.
        thousands: The separator of groups of three digits; empty for none. With commas, groups may also be those of
            India: 12,34,567.
        decimal: The separator of the decimals.
        suffix: The text after a number, such as a unit; a number may lack it.
    """

    prefix: str = ""
    thousands: str = ""
    decimal: str = "."
    suffix: str = ""

    @classmethod
    def parse(cls, pattern: str) -> "NumberForm":
        """Return the form in which 1234.5, or 1234, is written as this pattern, such as ``1.234,5 €``.

        Raises:
            ValueError: if the pattern is not such a number.
        """
        match = _PATTERN.fullmatch(pattern.translate(_SPACES))
        if not match or (match["decimal"] and match["decimal"] == match["thousands"]):
            raise ValueError("expected the number 1234.5 as it is written, such as `1,234.5`, `$1234.5` or `1.234,5 €`")
        decimal = match["decimal"] or ("," if match["thousands"] == "." else ".")
        return cls(match["prefix"].strip(), match["thousands"], decimal, match["suffix"].strip())

    @property
    def pattern(self) -> str:
        """The number 1234.5 in this form; :meth:`parse` reads it."""
        blank = " " if self.suffix[:1].isalpha() else ""
        return f"{self.prefix}1{self.thousands}234{self.decimal}5{blank}{self.suffix}"

    @property
    def expression(self) -> str:
        """The regular expression of a text in this form, without blanks around it.

        The groups ``open``, ``first_sign``, ``second_sign``, ``last_sign`` and ``close`` are its signs, ``integer``
        its digits with separators, ``decimals`` and ``exponent`` what follows.
        """
        prefix, suffix = (f"(?:{re.escape(text)})?" for text in (self.prefix, self.suffix))
        groups = rf"[1-9][0-9]{{0,2}}(?:{re.escape(self.thousands)}[0-9]{{3}})+|" if self.thousands else ""
        groups += "[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}|" if self.thousands == "," else ""
        decimals = rf"(?:{re.escape(self.decimal)}(?P<decimals>{NO_CENTS}|[0-9]*))?"
        return (
            rf"^(?P<open>\(?) ?(?P<first_sign>{_SIGN}) ?{prefix} ?(?P<second_sign>{_SIGN}) ?"
            rf"(?P<integer>{groups}[0-9]*){decimals}(?P<exponent>(?:[eE][-+]?[0-9]+)?)"
            rf" ?{suffix} ?(?P<last_sign>-?) ?(?P<close>\)?)$"
        )

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.expression)

    def read(self, text: str) -> float | None:
        """Return the number that a text in this form states; None for another text."""
        match = self._compiled.match(text.translate(_SPACES).strip())
        if not match:
            return None
        signs = match["first_sign"] + match["second_sign"] + match["last_sign"] + match["open"]
        digits = match["integer"].replace(self.thousands, "") if self.thousands else match["integer"]
        decimals = re.sub(NO_CENTS, "", match["decimals"] or "")
        if len(signs) > 1 or bool(match["open"]) != bool(match["close"]) or not digits + decimals:
            return None
        number = float(f"{digits or '0'}.{decimals or '0'}{match['exponent']}")
        return -number if signs in ("-", "(") else number


@dataclass(frozen=True)
class TimeForm:
    """The form of times in text, as directives of strftime (``%d/%m/%Y``).

    A form without a date is a time of day, on 1970-01-01. A form without a day is the first day of its month.

    Attributes:
        directives: The directives.
    """

    directives: str

    def __post_init__(self) -> None:
        """Check the directives.

        Raises:
            ValueError: if they cannot be read, or have neither a date nor a time.
        """
        names = set(re.findall("%(.)", self.directives))
        if unknown := names - set("YymdbBHMSfpIzjZ%"):
            supported = "%Y %y %m %d %b %B %H %I %M %S %f %p %z"
            raise ValueError(f"the directive %{min(unknown)} is not supported; use {supported}")
        if re.search("(?<![.,])%f", self.directives):
            raise ValueError("expected a point or comma before %f")
        if not names & set("YyHI"):
            raise ValueError("expected directives of strftime, such as %d/%m/%Y or %m/%d/%Y %H:%M")

    @property
    def is_zoned(self) -> bool:
        """Whether its times are points in time: they have an offset, or end with UTC or Z."""
        return "%z" in self.directives or self.directives.endswith(("UTC", "Z", "GMT"))

    @property
    def full_directives(self) -> str:
        """The directives for a text that :meth:`complete` has completed."""
        return self.complete(self.directives, "%Y-%m-%d ", " %d")

    def complete(self, text: str, date: str = "1970-01-01 ", day: str = " 01") -> str:
        """Add the parts of a date that the form lacks to a text."""
        if not re.search("%[Yy]", self.directives):
            return date + text
        return text if re.search("%[dj]", self.directives) else text + day

    def read(self, text: str) -> datetime | None:
        """Return the time that a text in this form states; None for another text.

        Returns:
            A time with an offset if the form is zoned, else a local time.
        """
        try:
            time = datetime.strptime(self.complete(text.strip()), self.full_directives)
        except ValueError:
            return None
        return time.replace(tzinfo=UTC) if self.is_zoned and time.tzinfo is None else time


@dataclass(frozen=True)
class BooleanForm:
    """The form of booleans in text: one word for true and one for false, in upper or lower case.

    Attributes:
        true: The word for true.
        false: The word for false.
    """

    true: str
    false: str

    @classmethod
    def parse(cls, pattern: str) -> "BooleanForm":
        """Return the form with the words of ``TRUE/FALSE``, such as ``yes/no``.

        Raises:
            ValueError: if the pattern does not have two different words.
        """
        words = [word.strip().casefold() for word in pattern.split("/")]
        if len(words) != 2 or not all(words) or words[0] == words[1]:
            raise ValueError("expected the word for true and the word for false, such as `yes/no`")
        return cls(*words)

    @property
    def pattern(self) -> str:
        """The two words; :meth:`parse` reads them."""
        return f"{self.true}/{self.false}"

    def read(self, text: str) -> bool | None:
        """Return what a text states; None for another text."""
        return {self.true: True, self.false: False}.get(text.strip().casefold())


def parse(form: str) -> NumberForm | TimeForm | BooleanForm:
    """Return the form that a text states.

    Args:
        form: The number 1234.5 as it is written, the directives of a time, or the words for true and false.

    Raises:
        ValueError: if it is none of them.
    """
    if re.search(r"1\D?234", form):
        return NumberForm.parse(form)
    if re.search("%[A-Za-z]", form):
        return TimeForm(form)
    if "/" in form:
        return BooleanForm.parse(form)
    raise ValueError(
        "expected the number 1234.5 as the table writes it (`1.234,5 €`), the directives of a time (`%d/%m/%Y`), or "
        "the words for true and false (`yes/no`)"
    )
