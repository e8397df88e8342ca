"""Numbers in text: the forms that explain all values of a column, and their values."""

import polars as pl

from model_deployer.contract.value_form import NO_CENTS, NumberForm

#: The number of distinct values on which rules are tried first.
SAMPLE = 1_000

#: The text before and after the digits of a number: currencies, percent and units of measure.
_CURRENCIES = (
    r"\p{Sc}", r"(?:US|CA|AU|NZ|HK|R|A|C)\$", "USD", "EUR", "GBP", "CHF", "JPY", "CNY", "CAD", "AUD", "SEK", "NOK",
    "DKK", "PLN", "CZK", "INR", "BRL", "MXN", "ZAR", r"Rs\.?", r"kr\.?", "zł", r"Fr\.?", r"S\$", "SGD", "HKD", "KRW",
    "TRY", "IDR", "MYR", "THB", "HUF", "RON", "RUB", "AED", "SAR", "ILS", "Rp", "Kč", "円", "元",
)  # fmt: skip
_UNITS = (
    "%", "‰", "km/h", "mph", "km", "cm", "mm", "kg", "mg", "g", "lbs?", "oz", "ml", "l", "L", "ft", "mi", "miles?",
    "yd", "in", "inch(?:es)?", "°C", "°F", "°", "kWh", "Wh", "kW", "W", "V", "A", "Hz", "kHz", "MHz", "GHz", "kB", "KB",
    "MB", "GB", "TB", "hrs?", "hours?", "h", "mins?", "minutes?", "secs?", "seconds?", "ms", "days?", "weeks?",
    "months?", "mos?", "years?", "yrs?", r"sq\.? ?ft", "m²", "m2", "m³", "cc", "bhp", "hp", "kmpl", "km/l", "mpg", "Nm",
    "rpm", "ppm", "pts?", "points?", "pcs", "units?",
)  # fmt: skip

_PREFIX = rf"^\(? ?[-+]? ?(?P<prefix>{'|'.join(_CURRENCIES)})? ?[-+]? ?"

#: Units that change the number before them.
_SHARES = ("%", "‰")

#: A number with separators, signs, and the text before and after it.
NUMBER = (
    rf"{_PREFIX}(?P<body>[\d.,'\x{{2019}} ]*\d(?:[.,](?:{NO_CENTS})?)?(?:[eE][-+]?\d+)?)"
    rf" ?(?P<suffix>{'|'.join((*_CURRENCIES, *_UNITS))})? ?-? ?\)?$"
)

_SEPARATED = r"(?P<body>\d[\d.,'\x{2019} ]*[.,'\x{2019} ]\d+)"
_ANY_CHARACTER = r"[^\d\s.,'()+-]"

#: A number with separators or decimals, and any text after it, such as a factor or a unit; and with the text before it,
#: but not a letter alone, as in codes such as J10.1.
QUANTITY = rf"{_PREFIX}{_SEPARATED} ?(?P<suffix>{_ANY_CHARACTER}{{1,6}}\.?)$"
CURRENCY_FIRST = rf"^-?(?P<prefix>{_ANY_CHARACTER}{{2,6}}\.?) ?-?{_SEPARATED}(?P<suffix>)$"

#: The separators of thousands and of decimals that numbers may have.
_SEPARATORS = [
    (thousands, decimal)
    for thousands in ("", ",", ".", " ", "'", "\N{RIGHT SINGLE QUOTATION MARK}")
    for decimal in ".,"
    if thousands != decimal
]


def number_forms(levels: pl.Series, expression: str = NUMBER) -> list[str]:
    """Return the forms of numbers that explain all values, each with another result.

    Args:
        levels: The different values.
        expression: ``NUMBER``; or ``QUANTITY`` or ``CURRENCY_FIRST`` for numbers with a text that is not a known unit.
    """
    cleaned = clean(levels)
    if not cleaned.head(SAMPLE).str.contains(expression).all() or not cleaned.str.contains(expression).all():
        return []
    parts = cleaned.str.extract_groups(expression).struct.unnest()
    prefixes, suffixes = (
        [text for text in parts[name].drop_nulls().unique().sort() if text] for name in ("prefix", "suffix")
    )
    if len(prefixes) > 1 or len(suffixes) > 1 or (suffixes and suffixes[0] in _SHARES and _lacks_suffix(parts)):
        return []
    forms = [
        NumberForm(prefixes[0] if prefixes else "", thousands, decimal, suffixes[0] if suffixes else "")
        for thousands, decimal in _SEPARATORS
    ]
    readings: dict[str, pl.Series] = {}
    for form in forms:
        numbers = read_numbers(levels, form)
        if not numbers.null_count() and not any(numbers.equals(other) for other in readings.values()):
            readings[form.pattern] = numbers
    return list(readings)


def _lacks_suffix(parts: pl.DataFrame) -> bool:
    """Return whether a number other than 0 has no text after it: next to 50%, 0.5 may be the same number or another."""
    lacking = (pl.col("suffix").fill_null("") == "") & pl.col("body").str.contains("[1-9]")
    return bool(parts.select(lacking.any()).item())


def read_numbers(strings: pl.Series, form: NumberForm) -> pl.Series:
    """Read numbers as :meth:`NumberForm.read` does.

    Returns:
        Int64 if all numbers are whole and none has decimals, else Float64; null for a text in another form.
    """
    cleaned = clean(strings).rename("text")
    groups = cleaned.str.extract_groups(form.expression).struct.unnest()
    empty = pl.lit("")
    sign = pl.concat_str([pl.col(name).fill_null(empty) for name in ("open", "first_sign", "second_sign", "last_sign")])
    digits = pl.col("integer").fill_null(empty).str.replace_all(form.thousands, "", literal=True)
    decimals = pl.col("decimals").fill_null(empty).str.replace(NO_CENTS, "")
    is_number = (
        (sign.str.len_chars() <= 1)
        & ((pl.col("open") == "(") == (pl.col("close") == ")"))
        & ((digits + decimals) != "")
    )
    text = (
        pl.when(digits == "").then(pl.lit("0")).otherwise(digits)
        + pl.lit(".")
        + pl.when(decimals == "").then(pl.lit("0")).otherwise(decimals)
        + pl.col("exponent").fill_null(empty)
    )
    number = text.cast(pl.Float64, strict=False)
    signed = pl.when(sign.is_in(["-", "("])).then(-number).otherwise(number)
    values = groups.select(pl.when(is_number).then(signed).alias(strings.name)).to_series()
    whole = values.drop_nulls()
    is_whole = len(whole) > 0 and (whole == whole.round()).all() and (whole.abs() <= 2**53).all()
    has_decimals = groups["decimals"].str.contains(r"\d").any()
    return values.cast(pl.Int64) if is_whole and not has_decimals else values


def clean(strings: pl.Series) -> pl.Series:
    """Return text with usual blanks and minus signs, and without blanks around it."""
    return strings.str.replace_all("[\u00a0\u202f\u2009]", " ").str.replace_all("\u2212", "-").str.strip_chars()
