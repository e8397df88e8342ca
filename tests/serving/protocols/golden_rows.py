"""Rows for which all protocols must give the same answer: missing values, unusual texts, and limits of ranges."""

from tests.serving.protocols.served import TEXTS
from tests.serving.protocols.speakers import Rows
from tests.support import tiny

MISSING = dict.fromkeys(feature.name for feature in tiny.FEATURES if not feature.required)

ROWS: Rows = [
    tiny.ROW,
    tiny.ROW | MISSING,
    {name: value for name, value in tiny.ROW.items() if name not in MISSING},
    *(tiny.ROW | {"remark": text} for text in TEXTS),
    tiny.ROW | {"distance": 0.0, "temp": -20.0, "seats": 1, "holiday": True, "carrier": "AA"},
    tiny.ROW | {"distance": 5000.0, "temp": 1e300, "seats": 500, "origin": "EWR", "carrier": None},
    tiny.ROW | {"distance": 0.1 + 0.2, "temp": 5e-324, "origin": "LGA", "carrier": "another one"},
    tiny.ROW | {"distance": 1234.56789012345678, "temp": -0.0, "booked": "2013-10-01T08:00:00.123456+05:30"},
    tiny.ROW | {"departure": "1905-02-28T23:59:59.999", "booked": "2100-02-28T00:00:00Z", "temp": None},
]  # fmt: skip
