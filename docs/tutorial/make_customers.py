"""Writes customers.csv, the invented table of the tutorial: 2,000 customers of a video service, and who cancelled."""

import csv
import math
import random
from pathlib import Path

ROWS = 2_000
FEES = {"basic": 7.99, "standard": 11.99, "family": 15.99}
COLUMNS = [
    "customer",
    "plan",
    "monthly_fee",
    "months_subscribed",
    "hours_last_month",
    "support_calls",
    "payment",
    "churned",
]


def customer(draw: random.Random) -> tuple[str, ...]:
    """One customer, and whether they cancelled in the following month."""
    plan = draw.choices(list(FEES), weights=[5, 3, 2])[0]
    months = 1 + int(draw.expovariate(1 / 20))
    discount = draw.random() < 0.4
    fee = FEES[plan] - 2 * discount
    hours = draw.gammavariate(1.8, 9)
    calls = sum(draw.random() < 0.1 for _ in range(6))
    payment = draw.choices(["card", "direct debit", "invoice"], weights=[6, 3, 1])[0]
    # The world of this table: people leave when they hardly watch, when a discount ends after a year, and when support
    # does not help. A family needs to watch more than others to stay.
    enough = 14 if plan == "family" else 6
    score = -2.6 + 2.6 / (1 + math.exp((hours - enough) / 1.5)) + 0.8 * calls + 0.9 * (payment == "invoice")
    score += 2.2 * (discount and 11 <= months <= 14) - 0.02 * min(months, 40)
    churned = draw.random() < 1 / (1 + math.exp(-score))
    watched = "" if draw.random() < 0.06 else f"{hours:.2f}"  # the meter fails for some
    return plan, f"{fee:.2f}", str(months), watched, str(calls), payment, "yes" if churned else "no"


def main() -> None:
    """Draw the rows and write them to the current folder."""
    draw = random.Random(2026)
    customers: dict[tuple[str, ...], None] = {}  # no two are alike
    while len(customers) < ROWS:
        customers[customer(draw)] = None
    with Path("customers.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows((f"C-{number:04}", *row) for number, row in enumerate(customers))
    print(f"customers.csv: {ROWS:,} rows")


if __name__ == "__main__":
    main()
