"""Write data/diamonds.parquet: round-cut diamonds and their prices, from the package plotnine."""

import importlib.util
from pathlib import Path

import polars as pl

TABLE = Path(__file__).parent / "data" / "diamonds.parquet"


def main() -> None:
    """Read the package's file, drop duplicate rows, and write the result."""
    spec = importlib.util.find_spec("plotnine")  # located but not imported, because only its data are needed
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the package 'plotnine' is not installed; run: pip install 'model-deployer[examples]'")
    source = Path(spec.submodule_search_locations[0]) / "data" / "diamonds.csv"
    table = pl.read_csv(source).unique(maintain_order=True)
    TABLE.parent.mkdir(exist_ok=True)
    unfinished = TABLE.with_suffix(".unfinished")
    table.write_parquet(unfinished)
    unfinished.replace(TABLE)
    print(f"{table.height:,} rows in {TABLE}")


if __name__ == "__main__":
    main()
