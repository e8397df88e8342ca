"""The counts of events that are written together."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from model_deployer.serving.observability.metrics import observe

BUCKETS = (0.001, 0.01, 1, 10)


@given(st.lists(st.one_of(st.sampled_from(BUCKETS), st.integers(0, 20_000).map(lambda number: number / 1_024))))
def test_observations_that_are_counted_together_count_like_single_ones(observations: list[float]) -> None:
    texts = []
    for is_together in (False, True):
        registry = CollectorRegistry()
        histogram = Histogram("seconds", "Seconds.", registry=registry, buckets=BUCKETS)
        if is_together:
            observe(histogram, observations)
        else:
            for observation in observations:
                histogram.observe(observation)
        texts.append([line for line in generate_latest(registry).decode().splitlines() if "created" not in line])
    assert texts[0] == texts[1]
