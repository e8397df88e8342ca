from model_deployer.handoff.measurement.comparison import Difference, differences, reasons
from model_deployer.package.measurements import Measurements
from tests.support.observed import BUSY, MEASURED, QUIET, latency


def with_rate(rate: float) -> Measurements:
    return MEASURED.model_copy(update={"by_load": (latency(16, rate, 9.5, cores=1.0, conditions=QUIET),)})


def test_figures_within_15_percent_agree() -> None:
    """1,910 and 7,530 requests per second of one model on one machine do not agree; 1,000 and 1,140 do."""

    def capacities(old: float, new: float) -> bool:
        return next(iter(differences(with_rate(old), with_rate(new)))).is_within

    assert capacities(1000, 1140)
    assert capacities(1140, 1000)
    assert not capacities(1000, 1160)
    assert not capacities(1910, 7530)


def test_every_load_that_both_have_is_compared() -> None:
    names = [difference.name for difference in differences(MEASURED, MEASURED)]
    assert names == [
        "requests per second, at most",
        "p50 in ms, 1 client, 1 row",
        "p50 in ms, 1 client, 100 rows",
        "p50 in ms, 4 clients, 1 row",
        "p50 in ms, 16 clients, 1 row",
        "p50 in ms, 64 clients, 1 row",
        "peak memory in MiB",
    ]
    assert all(difference.is_within for difference in differences(MEASURED, MEASURED))
    shown = str(next(iter(differences(with_rate(2000), with_rate(1500)))))
    assert shown == "requests per second, at most: 2,000 -> 1,500 (-25 %)"


def test_a_figure_agrees_within_the_range_of_its_blocks() -> None:
    """Four clients have two rhythms: 0.7 ms and 0.9 ms are figures of one model, if blocks have both."""

    def median(p50: float, low: float, high: float) -> Measurements:
        step = latency(4, 5000, 2 * p50, p50=p50, p50_low=low, p50_high=high)
        return MEASURED.model_copy(update={"by_rows": (), "by_load": (step,)})

    def compared(old: Measurements, new: Measurements) -> Difference:
        return list(differences(old, new))[1]

    assert compared(median(0.7, 0.68, 0.91), median(0.9, 0.69, 0.93)).is_within
    assert compared(median(0.9, 0.69, 0.93), median(0.7, 0.68, 0.72)).is_within
    assert not compared(median(0.7, 0.68, 0.72), median(0.9, 0.88, 0.93)).is_within
    shown = "p50 in ms, 4 clients, 1 row: 0.7 (0.68 to 0.72) -> 0.9 (0.88 to 0.93) (+28.6 %)"
    assert str(compared(median(0.7, 0.68, 0.72), median(0.9, 0.88, 0.93))) == shown


def test_what_differed_between_two_measurements_is_named() -> None:
    assert list(reasons(MEASURED, MEASURED)) == []
    other = MEASURED.model_copy(update={"machine": MEASURED.machine.model_copy(update={"cores": 8})})
    assert list(reasons(MEASURED, other)) == ["another machine: cores 2, then 8"]
    (reason,) = reasons(MEASURED, BUSY)
    assert reason == (
        "the machine was busy during the second measurement: other processes used up to 34 % of the cores, "
        "other virtual machines up to 3 %"
    )
    slow = QUIET.model_copy(update={"megahertz": 1300})
    throttled = MEASURED.model_copy(
        update={"by_rows": (), "by_load": (latency(16, 4321, 9.5, cores=1.0, conditions=slow),)}
    )
    assert list(reasons(MEASURED, throttled)) == ["the frequency of the cores: 2,600 MHz, then 1,300 MHz"]
