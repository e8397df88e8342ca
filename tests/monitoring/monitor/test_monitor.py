"""What a monitor observes: quiet years, policies of capture, weights, estimates, slices, versions, and late labels."""

import shutil
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from model_deployer.api import Model
from model_deployer.contract.errors import DataError
from model_deployer.contract.number_format import count
from model_deployer.monitoring.monitor.days import Days, complete_days
from model_deployer.monitoring.monitor.live_calibration import live_calibration
from model_deployer.monitoring.monitor.messages import message, news
from model_deployer.monitoring.monitor.metrics_text import metrics_text
from model_deployer.monitoring.monitor.monitor import MonitorReport
from model_deployer.monitoring.monitor.monitor import report as report_of
from model_deployer.monitoring.monitor.page import page
from model_deployer.monitoring.monitor.watched import effective_counts
from model_deployer.monitoring.traffic.traffic import read_traffic
from model_deployer.monitoring.traffic.traffic_files import open_files
from tests.support import parcels
from tests.support.parcels import NOW, START, World

pytestmark = pytest.mark.slow

CHANGE = (START + timedelta(days=parcels.CHANGE)).date()


def rewrite(store: Path, change: pl.Expr | list[pl.Expr], drop: tuple[str, ...] = ()) -> None:
    """Change the columns of every file of traffic."""
    for file in (store / "traffic").rglob("*.parquet"):
        pl.read_parquet(file).with_columns(change).drop(drop).write_parquet(file)


@pytest.mark.parametrize("seed", range(100, 400, 100))
def test_a_quiet_world_is_quiet(parcel_model: Model, tmp_path: Path, seed: int) -> None:
    parcels.write_traffic(tmp_path, parcel_model, World(), seed=seed)
    report = parcels.watched(parcel_model, tmp_path)
    assert (report.verdict.action, report.observed.alarms, report.observed.faults) == ("keep", (), ())
    assert {each.dispersion for each in report.observed.fields} == {"units"}
    assert sum(report.observed.budget.values()) == pytest.approx(0.05)
    estimated = report.observed.estimated
    assert estimated is not None and estimated.estimate is not None
    assert (estimated.periods, estimated.covered) == (2, 2)
    estimate, recent = estimated.estimate, report.observed.risk.recent
    assert estimate.low is not None and estimate.high is not None and recent is not None
    assert estimate.low < recent < estimate.high


def test_bins_are_watched_as_values_and_other_policies_are_named(parcel_model: Model, tmp_path: Path) -> None:
    """A field that is captured as its bin gives the evidence that its values give; a hash and nothing give none."""
    world = World(real=lambda rows: rows.with_columns(pl.col("distance") * 1.3))
    parcels.write_traffic(tmp_path, parcel_model, world)
    values = parcels.watched(parcel_model, tmp_path)
    artifact = parcel_model.artifact
    assert artifact.reference is not None
    distance = artifact.reference.features["distance"]
    names = list(distance.shares())
    rewrite(
        tmp_path,
        pl.col("input.distance")
        .map_batches(lambda column: pl.Series([names[code] for code in distance.codes(column.to_numpy())]))
        .alias("bin.distance"),
        drop=("input.distance", "input.weight", "input.channel"),
    )
    policies = {"distance": "bin", "weight": "hash", "channel": "drop"}
    features = tuple(
        feature.model_copy(update={"capture": policies.get(feature.name)}) for feature in artifact.contract.features
    )
    private = Model(type(artifact)(artifact.path, artifact.manifest))
    private.artifact.__dict__["contract"] = artifact.contract.model_copy(update={"features": features})
    report = parcels.watched(private, tmp_path)
    by_name = {each.name: each for each in report.observed.fields}
    assert set(by_name) == {"distance", "temperature"}
    assert by_name["distance"].log10_e == {each.name: each for each in values.observed.fields}["distance"].log10_e
    assert by_name["distance"].has_moved
    assert "hash" in report.observed.unwatched["weight"]
    assert "drop" in report.observed.unwatched["channel"]


def test_a_model_without_spreads_says_that_its_dispersion_is_unknown(parcel_model: Model, tmp_path: Path) -> None:
    parcels.write_traffic(tmp_path, parcel_model, World())
    artifact = parcel_model.artifact
    assert artifact.reference is not None
    older = Model(type(artifact)(artifact.path, artifact.manifest))
    older.artifact.__dict__["reference"] = artifact.reference.model_copy(update={"spreads": None})
    report = parcels.watched(older, tmp_path)
    assert {each.dispersion for each in report.observed.fields} == {"unknown"}
    assert report.verdict.action == "keep"


def test_weights_count_as_rows_and_not_as_information() -> None:
    sums, squares = np.array([[10.0, 30.0]]), np.array([[100.0, 300.0]])
    assert effective_counts(sums, squares).tolist() == [[1, 3]]
    uneven = effective_counts(np.array([[100.0, 10.0]]), np.array([[1000.0, 10.0]]))
    assert uneven.tolist() == [[11, 1]]


def test_refused_requests_are_the_callers(parcel_model: Model, tmp_path: Path) -> None:
    rows = parcels.write_traffic(tmp_path, parcel_model, World(weight=1.0))
    refused = rows.filter((pl.col("day") >= 36) & (pl.col("weight") > 10)).select(
        pl.col("request_id") + "-refused",
        "time",
        protocol=pl.lit("native"),
        status=pl.lit(422, pl.Int64),
        code=pl.lit("invalid_rows"),
        milliseconds=pl.lit(1.0),
        fields=pl.lit("channel,weight"),
        problem_codes=pl.lit("missing_field"),
    )
    parcels.write_file(tmp_path / "refusals/model=parcels/version=1.0.0/date=2024-04-06/hour=00/x.parquet", refused)
    report = parcels.watched(parcel_model, tmp_path)
    assert report.verdict.action == "fix the data"
    assert [(fault.field, fault.fault) for fault in report.observed.faults] == [
        ("channel", "refused"),
        ("weight", "refused"),
    ]


def refusals(
    days: range, fields: str, code: str = "invalid_rows", problem_codes: str = "missing_field"
) -> pl.DataFrame:
    """A hundred refused requests on each of some days, over all hours."""
    hours = np.tile(np.linspace(0, 23.9, 100), len(days)) + 24 * np.repeat(days, 100)
    times = [START + timedelta(hours=float(hour)) for hour in hours]
    return pl.DataFrame(
        {
            "request_id": [f"refused-{index}" for index in range(len(times))],
            "time": pl.Series(times, dtype=pl.Datetime("us", "UTC")),
            "protocol": "native",
            "status": 422,
            "code": code,
            "milliseconds": 1.0,
            "fields": fields,
            "problem_codes": "missing_field",
        }
    )


def with_refusals(store: Path, rows: pl.DataFrame) -> Path:
    parcels.write_file(store / "refusals/model=parcels/version=1.0.0/date=2024-03-01/hour=00/x.parquet", rows)
    return store


@pytest.mark.parametrize(
    ("refused", "headline", "cause"),
    [
        (("channel", "invalid_rows"), "all requests are refused, because of 'channel'.", "'channel' (missing_field)."),
        (("", "unauthorized"), "all requests are refused.", "the error 'unauthorized'."),
    ],
)
def test_a_model_that_refuses_all_requests_has_a_verdict(
    parcel_model: Model, tmp_path: Path, refused: tuple[str, str], headline: str, cause: str
) -> None:
    with_refusals(tmp_path, refusals(range(parcels.TRAFFIC_DAYS), *refused))
    report = parcels.watched(parcel_model, tmp_path)
    assert (report.verdict.action, report.verdict.owner) == ("fix the data", "backend engineer")
    assert report.verdict.headline == f"Fix the data: {headline}"
    assert report.verdict.cause == f"100 % of the requests of the last week were refused because of {cause}"
    assert "all requests are refused" in page(report)
    assert 'model_monitor_verdict{action="fix the data"' in metrics_text(report)
    assert "all requests are refused" in str(message(report, "alertmanager"))


def test_days_on_which_all_requests_are_refused_count(parcel_model: Model, tmp_path: Path) -> None:
    """The model answered until the 20th day, and has refused everything since then."""
    parcels.write_traffic(tmp_path, parcel_model, World())
    for folder in (tmp_path / "traffic").rglob("date=*"):
        if date.fromisoformat(folder.name[5:]) >= CHANGE:
            shutil.rmtree(folder)
    with_refusals(
        tmp_path, refusals(range(parcels.CHANGE, parcels.TRAFFIC_DAYS), "weight", problem_codes="invalid_type")
    )
    report = parcels.watched(parcel_model, tmp_path)
    assert report.observed.traffic.days == parcels.TRAFFIC_DAYS
    assert [(fault.field, fault.fault, fault.share) for fault in report.observed.faults] == [("weight", "refused", 1.0)]
    assert report.observed.alarms == ()


@pytest.mark.parametrize(("silent", "is_fault"), [(0, False), (1, True), (4, True), (40, False)])
def test_traffic_that_stopped_is_a_fault(parcel_model: Model, tmp_path: Path, silent: int, is_fault: bool) -> None:
    parcels.write_traffic(tmp_path, parcel_model, World())
    now = NOW + timedelta(days=silent)
    report = report_of(parcel_model.artifact, read_traffic(open_files(str(tmp_path)), "parcels", now=now))
    assert (report.verdict.headline == "Fix the data: no requests arrive any more.") == is_fault
    if is_fault:
        assert report.verdict.since == (START + timedelta(days=parcels.TRAFFIC_DAYS - 1)).date()
        assert f"the {count(silent, 'complete day')} after 2024-04-09" in report.verdict.cause


def test_a_pause_is_compared_with_those_before_it(parcel_model: Model, tmp_path: Path) -> None:
    """Without traffic on weekends, four days say nothing, and five do."""
    parcels.write_traffic(tmp_path, parcel_model, World(labelled_days=0))
    for folder in (tmp_path / "traffic").rglob("date=*"):
        if date.fromisoformat(folder.name[5:]).weekday() >= 5:
            shutil.rmtree(folder)
    headlines = []
    for silent in (4, 5):
        traffic = read_traffic(open_files(str(tmp_path)), "parcels", now=NOW + timedelta(days=silent))
        headlines.append(report_of(parcel_model.artifact, traffic).verdict.headline)
    assert "no requests arrive" not in headlines[0]
    assert "no requests arrive" in headlines[1]


def test_a_bad_slice_is_named_with_its_gap(parcel_model: Model, tmp_path: Path) -> None:
    def worse_by_phone(odds: np.ndarray, rows: pl.DataFrame) -> np.ndarray:
        return np.where(rows["channel"] == "phone", -odds, odds)

    parcels.write_traffic(tmp_path, parcel_model, World(odds=worse_by_phone))
    report = parcels.watched(parcel_model, tmp_path)
    first, *others = report.observed.slices
    assert (first.slice, first.gap > 0.3) == ("channel = phone", True)
    assert not [each.slice for each in others if "phone" in each.slice]  # a part of it would be the same finding


def test_a_bad_range_of_a_number_is_named(parcel_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def late_if_light(odds: np.ndarray, rows: pl.DataFrame) -> np.ndarray:
        return np.where(rows["weight"] < 3, 8.0, odds)

    monkeypatch.setattr(parcels, "CHANGE", 0)
    parcels.write_traffic(tmp_path, parcel_model, World(odds=late_if_light))
    first, *_ = parcels.watched(parcel_model, tmp_path).observed.slices
    assert first.slice.startswith("weight from ")


@pytest.mark.parametrize(("heavy", "action"), [(1, "keep"), (20, "ask a person")])
def test_a_model_with_few_rows_is_not_judged_by_one(
    parcel_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heavy: int, action: str
) -> None:
    """One row a day, and the last week has a single one, which is outside of the table; then the last 20 are."""
    monkeypatch.setattr(parcels, "DAY_ROWS", 1)
    monkeypatch.setattr(parcels, "_HOURS", (0, 23))
    rows = parcels.write_traffic(tmp_path, parcel_model, World(labelled_days=0))
    last: datetime = max(time for time in rows["time"] if time.hour == 23)
    times = [time for time in rows["time"] if time < last - timedelta(days=7) or time == last]
    for file in (tmp_path / "traffic").rglob("*.parquet"):
        if pl.read_parquet(file)["time"][0] not in times:
            file.unlink()
    is_heavy = pl.col("time") >= sorted(times)[-heavy]
    rewrite(tmp_path, pl.when(is_heavy).then(500.0).otherwise("input.weight").alias("input.weight"))
    report = parcels.watched(parcel_model, tmp_path)
    assert (report.observed.traffic.captured, report.verdict.action) == (len(times), action), report.verdict


def test_label_shares_are_estimated_before_labels_arrive(parcel_model: Model, tmp_path: Path) -> None:
    """Three of four late parcels are not sent any more: their share falls, and rows of one label look as before."""
    rows = parcels.write_traffic(tmp_path, parcel_model, World(labelled_days=30))
    gone = rows.filter((pl.col("day") >= 30) & (pl.col("label") == "late") & (pl.int_range(pl.len()) % 4 > 0))
    for file in (tmp_path / "traffic").rglob("*.parquet"):
        pl.read_parquet(file).join(gone, on="request_id", how="anti").write_parquet(file)
    rest = rows.filter(pl.col("day") >= 33).join(gone, on="request_id", how="anti")
    report = parcels.watched(parcel_model, tmp_path)
    late = report.observed.label_shift[1]
    assert late.label == "late"
    assert late.now.low is not None and late.now.high is not None
    assert late.now.low < (rest["label"] == "late").mean() < late.now.high < late.before  # type: ignore[operator]


def test_labels_of_one_kind_that_come_first_raise_no_alarm(parcel_model: Model, tmp_path: Path) -> None:
    """Late parcels are reported after a day, others after a week: young days would have late parcels only."""
    rows = parcels.write_traffic(tmp_path, parcel_model, World(labelled_days=0))
    parcels.write_labels(tmp_path, rows.filter(pl.col("label") == "late"), delay=timedelta(days=1))
    parcels.write_labels(tmp_path, rows.filter(pl.col("label") == "on_time"), delay=timedelta(days=7))
    report = parcels.watched(parcel_model, tmp_path)
    assert report.verdict.action == "keep"
    assert report.observed.risk.state == "quiet"
    assert report.observed.risk.last is not None
    assert report.observed.risk.last <= (NOW - timedelta(days=8)).date()


def test_a_repaired_field_is_over(parcel_model: Model, tmp_path: Path) -> None:
    parcels.write_traffic(
        tmp_path,
        parcel_model,
        World(
            sent=lambda rows: rows.with_columns(
                pl.when(pl.col("day") < 30).then(pl.col("distance") * 1000).otherwise("distance").alias("distance")
            )
        ),
    )
    report = parcels.watched(parcel_model, tmp_path)
    assert report.observed.faults == ()
    alarm = report.observed.alarms[0]
    assert (alarm.group, alarm.name, alarm.is_over) == ("fields", "distance", True)
    assert report.verdict.action == "keep"


def test_a_field_that_was_missing_on_one_day_is_named_and_over(parcel_model: Model, tmp_path: Path) -> None:
    """By the last day, the evidence of that day has decayed."""
    gone = pl.when(pl.col("day") > parcels.CHANGE).then("temperature")
    parcels.write_traffic(tmp_path, parcel_model, World(sent=lambda rows: rows.with_columns(temperature=gone)))
    report = parcels.watched(parcel_model, tmp_path)
    alarm = report.observed.alarms[0]
    assert (alarm.group, alarm.name, alarm.since, alarm.is_over) == ("fields", "temperature", CHANGE, True)
    assert report.verdict.action == "keep"


def test_only_complete_days_of_the_year_count() -> None:
    hours = [START + timedelta(hours=hour) for hour in (20, 30, 40, 100, 118)]
    days = complete_days(pl.Series(hours), NOW)
    assert (days.first, days.count) == ((START + timedelta(days=1)).date(), 4)
    long = pl.Series([START + timedelta(days=day) for day in range(400)])
    assert complete_days(long, START + timedelta(days=401)).first == (START + timedelta(days=365)).date()
    assert complete_days(pl.Series([START + timedelta(hours=20)]), START + timedelta(hours=21)).count == 0


def test_a_version_without_traffic_is_named(parcel_model: Model, tmp_path: Path) -> None:
    parcels.write_traffic(tmp_path, parcel_model, World(labelled_days=0))
    folder = tmp_path / "traffic/model=parcels"
    (folder / "version=1.0.0").rename(folder / "version=0.9.0")
    with pytest.raises(DataError, match=r"parcels:1\.0\.0 has not answered .* versions that have: 0\.9\.0"):
        parcels.watched(parcel_model, tmp_path)


def test_a_field_that_is_missing_from_the_first_day_is_broken(parcel_model: Model, tmp_path: Path) -> None:
    parcels.write_traffic(tmp_path, parcel_model, World(labelled_days=0))
    rewrite(tmp_path, pl.lit(None, pl.Float64).alias("input.temperature"))
    report = parcels.watched(parcel_model, tmp_path)
    assert [(fault.field, fault.fault, fault.since) for fault in report.observed.faults] == [
        ("temperature", "missing", START.date())
    ]


def test_before_the_first_complete_day_nothing_is_known(parcel_model: Model, tmp_path: Path) -> None:
    parcels.write_traffic(tmp_path, parcel_model, World(labelled_days=0))
    traffic = read_traffic(open_files(str(tmp_path)), "parcels", now=START + timedelta(hours=20))
    early = report_of(parcel_model.artifact, traffic)
    assert early.observed.traffic.days == 0
    assert early.verdict.headline == "Keep the model: there is no complete day of traffic yet."
    assert "no complete day yet" in page(early)
    assert 'model_monitor_verdict{action="keep"' in metrics_text(early)


@pytest.mark.parametrize("last_bad_day", [40, 80])
def test_probabilities_that_are_right_again_are_over(parcel_model: Model, last_bad_day: int) -> None:
    random = np.random.default_rng(0)
    day = np.repeat(np.arange(80), parcels.DAY_ROWS)
    odds = random.normal(0, 1.5, len(day))
    is_bad = (day >= 20) & (day < last_bad_day)
    rows = pl.DataFrame(
        {
            "day": day,
            "weight": 1.0,
            "output.probabilities.late": 1 / (1 + np.exp(-odds)),
            "label": parcels.labels(odds + 1.5 * is_bad, seed=1),
        }
    )
    live, alarm = live_calibration(parcel_model.artifact, rows, Days(START.date(), 80), alpha=0.005)
    assert live is not None and alarm is not None
    assert alarm.since == CHANGE
    assert alarm.is_over == (last_bad_day == 40) != live.has_shifted


def with_weights_that_follow_distances(rows: pl.DataFrame) -> pl.DataFrame:
    """Weights are given to other rows of the same day: each field alone has the same values."""
    random = np.random.default_rng(5)
    days = []
    for day in rows.partition_by("day", maintain_order=True):
        wanted = np.argsort(day["distance"].rank().to_numpy() / len(day) + 0.5 * random.random(len(day)))
        weights = np.empty(len(day))
        weights[wanted] = day["weight"].sort().to_numpy()
        days.append(day.with_columns(weight=pl.Series(weights)))
    return pl.concat(days)


#: Only combinations of values change, and no label says what that does.
COMBINED = World(real=with_weights_that_follow_distances, labelled_days=parcels.CHANGE)


@pytest.fixture(scope="module")
def combined(parcel_model: Model, tmp_path_factory: pytest.TempPathFactory) -> MonitorReport:
    """A world in which only combinations of values change."""
    store = tmp_path_factory.mktemp("combined")
    parcels.write_traffic(store, parcel_model, COMBINED)
    return parcels.watched(parcel_model, store)


def test_changed_combinations_are_named_although_each_field_is_as_usual(combined: MonitorReport) -> None:
    observed = combined.observed
    assert not any(field.has_moved for field in observed.fields)
    assert combined.verdict.headline.startswith("Ask a person: combinations of values")
    assert "Each field alone is as usual" in combined.verdict.cause
    assert (combined.verdict.since, combined.verdict.owner) == (CHANGE, "product owner")
    combinations = observed.combinations
    assert (combinations.has_moved, combinations.is_over, combinations.since) == (True, False, CHANGE)
    assert (combinations.rows_a_day, combinations.days, combinations.table_days) == (300, parcels.TRAFFIC_DAYS, 84)
    shift = combinations.shifts[0]
    assert shift.fields == ("distance", "weight")
    assert shift.expected[0] < 0 < shift.expected[1] < 0.3 < shift.correlation
    alarm = next(alarm for alarm in observed.alarms if alarm.group == "combinations")
    assert (alarm.name, alarm.since) == ("distance and weight", CHANGE)
    separation = observed.separation
    assert separation is not None
    assert separation.auc is not None
    assert separation.usual is not None
    assert separation.auc.low is not None
    assert separation.usual < separation.auc.low
    assert {field.name for field in separation.fields[:2]} == {"distance", "weight"}


def test_everything_that_is_delivered_has_the_combinations(combined: MonitorReport) -> None:
    text = page(combined)
    assert "Correlation of distance and weight, in the table and now" in text
    assert "How unusual the combinations of 35 days are" in text
    metrics = metrics_text(combined)
    assert 'model_monitor_alarm{group="combinations",model="parcels",version="1.0.0"} 1.0' in metrics
    assert "model_monitor_separation_auc" in metrics
    assert "parcels:1.0.0" in str(message(combined, "slack"))
    assert [name for name in news(combined) if "combinations alarm" in name]
    assert any(line.statistic == "combinations of values" for line in combined.verdict.evidence)


def test_a_model_without_rows_of_its_table_says_so(parcel_model: Model, tmp_path: Path) -> None:
    parcels.write_traffic(tmp_path, parcel_model, World(labelled_days=0))
    artifact = parcel_model.artifact
    older = Model(type(artifact)(artifact.path, artifact.manifest))
    older.artifact.__dict__["reference_rows"] = None
    report = parcels.watched(older, tmp_path)
    assert "reference_rows.npz" in (report.observed.combinations.reason or "")
    assert "combinations" not in report.observed.budget
    assert sum(report.observed.budget.values()) == pytest.approx(0.05)
    assert "reference_rows.npz" in page(report)


def test_few_captured_rows_have_no_combinations(parcel_model: Model, tmp_path: Path) -> None:
    parcels.write_traffic(tmp_path, parcel_model, World(labelled_days=0))
    for file in (tmp_path / "traffic").rglob("*.parquet"):
        pl.read_parquet(file).head(10).write_parquet(file)
    report = parcels.watched(parcel_model, tmp_path)
    assert report.observed.combinations.reason == "most days have fewer than 50 captured rows"


def test_rows_that_are_captured_more_often_count_less(parcel_model: Model, tmp_path: Path) -> None:
    """Heavy and far parcels are captured ten times as often: with their weights, they are as frequent as ever."""
    rows = parcels.write_traffic(tmp_path, parcel_model, World(labelled_days=0, weight=1.0))
    often = rows.filter((pl.col("weight") > 8) & (pl.col("distance") > 80))["request_id"].implode()
    for file in (tmp_path / "traffic").rglob("*.parquet"):
        part = pl.read_parquet(file).with_columns(is_often=pl.col("request_id").is_in(often))
        copies = [part, *([part.filter("is_often")] * 9)]
        weight = pl.when("is_often").then(0.1).otherwise(1.0)
        pl.concat(copies).with_columns(weight=weight).drop("is_often").sort("time").write_parquet(file)
    report = parcels.watched(parcel_model, tmp_path)
    assert report.observed.combinations.reason is None
    assert not report.observed.combinations.has_moved


def test_evidence_of_the_past_does_not_change_with_a_new_day(parcel_model: Model, tmp_path: Path) -> None:
    parcels.write_traffic(tmp_path, parcel_model, World(labelled_days=0))
    scores = []
    for days in (20, 21, 28):
        traffic = read_traffic(open_files(str(tmp_path)), "parcels", now=START + timedelta(days=days, hours=4))
        scores.append(report_of(parcel_model.artifact, traffic).observed.combinations.scores)
    assert [len(each) for each in scores] == [14, 21, 28]
    assert scores[1][:14] == scores[0]
    assert scores[2][:21] == scores[1]
