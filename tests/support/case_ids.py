"""Names of parametrized tests that are the same in every process."""

import re


def case_id(value: object) -> str:
    """Return the text of a value on one line, without the addresses of functions."""
    return re.sub(r" at 0x[0-9a-f]+", "", " ".join(repr(value).split()))
