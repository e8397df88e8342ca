"""A workload: the model, its image and its load, which the definitions of every platform are computed from."""

import hashlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from model_deployer.package.package_data import PackageData
from model_deployer.package.sizing import (
    MIN_REPLICAS,
    READINESS_FAILURES,
    READINESS_PERIOD_SECONDS,
    Size,
    Sizing,
    autoscaling,
    loads,
    probes,
    rate,
    replicas,
    resources,
)

#: The port of the image if the variable PORT is not set.
PORT = 3000

#: The paths of liveness (the process runs) and readiness (it answers predictions); neither needs an API key.
LIVE, READY = "/livez", "/readyz"

METRICS = "/metrics"

#: The user id of the image. Any other works, too.
USER = 1034

#: The load up to which an autoscaler adds replicas, as a multiple of the planned load; it caps the cost of a runaway
#: client.
PEAK_FACTOR = 3

#: The time until load balancers send no more requests to a replica that is about to stop: as long as they need to
#: notice that a replica is not ready.
DRAIN_SECONDS = READINESS_FAILURES * READINESS_PERIOD_SECONDS

#: The time that an idle server needs to stop, with a reserve.
SHUTDOWN_SECONDS = 5

#: Liveness is probed less often than readiness, and a restart needs more failures: it helps only if the server hangs.
LIVENESS_PERIOD_SECONDS, LIVENESS_FAILURES = 10, 3

#: The timeout of a probe: a server that is busy with a large batch answers late, but is not broken.
PROBE_TIMEOUT_SECONDS = 3

#: The maximum length of a DNS label, and so of the name of a Kubernetes service (RFC 1035).
MAX_LABEL_LENGTH = 63


@dataclass(frozen=True)
class Workload:
    """A model in its image, under a load.

    Attributes:
        package: The content of the handoff package.
        image: The name of the image, with a tag or a digest.
        load: The planned load in one-row requests per second; None if the measurements do not tell what a replica
            carries, because the machine was busy. Then there are ``MIN_REPLICAS``, and no autoscaler.
    """

    package: PackageData
    image: str
    load: float | None

    @property
    def model(self) -> str:
        """The name of the model in its API."""
        return self.package.manifest.name

    @property
    def version(self) -> str:
        """The version of the model."""
        return self.package.manifest.version

    @cached_property
    def sizing(self) -> Sizing:
        """The sizing of a replica."""
        return self.package.sizing

    def name(self, max_length: int = MAX_LABEL_LENGTH) -> str:
        """Return the name of the model as a DNS label, which platforms require."""
        return dns_label(self.model, max_length)

    def versioned_name(self, max_length: int = MAX_LABEL_LENGTH) -> str:
        """Return the name and the version of the model as a DNS label."""
        return dns_label(f"{self.model}-{self.version}", max_length)

    @property
    def replicas(self) -> int:
        """The number of replicas for the load, including the spare one."""
        return MIN_REPLICAS if self.load is None else self.sizing.replicas(self.load)

    @property
    def max_replicas(self) -> int:
        """The largest number of replicas that an autoscaler may run."""
        return MIN_REPLICAS if self.load is None else self.sizing.replicas(PEAK_FACTOR * self.load)

    @property
    def timeout_seconds(self) -> int:
        """The service's time limit of a request, rounded up."""
        return math.ceil(self.sizing.timeout_seconds)

    @property
    def grace_period_seconds(self) -> int:
        """The time from the signal to stop until a replica is killed."""
        return DRAIN_SECONDS + self.timeout_seconds + SHUTDOWN_SECONDS


def dns_label(text: str, max_length: int = MAX_LABEL_LENGTH) -> str:
    """Return a text as a DNS label: lower-case letters, digits and hyphens, beginning with a letter.

    A label that is too long ends with some digits of the text's SHA-256, so that labels of similar texts differ.
    """
    result = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if not result[:1].isalpha():
        result = f"m-{result}".rstrip("-")
    if len(result) <= max_length:
        return result
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{result[: max_length - 7].rstrip('-')}-{digest}"


def sizes(workload: Workload) -> list[Size]:
    """Return every figure of the definitions, with its formula."""
    return [*autoscaled(workload), *replica_sizes(workload)]


def autoscaled(workload: Workload) -> list[Size]:
    """Return the figures of the autoscaler; only the number of replicas if the load is not known."""
    return [*scaling(workload), *([] if workload.load is None else [autoscaling(workload.sizing)])]


def scaling(workload: Workload) -> list[Size]:
    """Return the figures of the number of replicas."""
    load = workload.load
    if load is None:
        return [Size("Replicas", f"{MIN_REPLICAS}", "one, plus 1 spare: the machine was busy during the measurements")]
    peak = PEAK_FACTOR * load
    return [
        *loads(workload.sizing),
        replicas(workload.sizing, f"Replicas for {rate(load)} one-row requests per second", load),
        replicas(workload.sizing, f"Maximum number of replicas, for {PEAK_FACTOR} times as many", peak),
    ]


def replica_sizes(workload: Workload) -> list[Size]:
    """Return the figures of one replica: resources, probes, and the time to stop."""
    return [
        *resources(workload.sizing),
        *probes(workload.sizing),
        _grace_period(workload),
    ]


def instance_sizes(workload: Workload) -> list[Size]:
    """Return the figures for platforms with one replica per instance and with health checks of their own."""
    return [*scaling(workload), *resources(workload.sizing)]


def _grace_period(workload: Workload) -> Size:
    return Size(
        "Grace period",
        f"{workload.grace_period_seconds} s",
        f"{DRAIN_SECONDS} s until load balancers send no more requests, {workload.timeout_seconds} s to answer the "
        f"last request, {SHUTDOWN_SECONDS} s to stop",
    )


def formulas(sizes: Iterable[Size]) -> str:
    """Return figures with their formulas as lines of a comment."""
    return "\n".join(f"{name}: {figure} ({formula})" for name, figure, formula in sizes)
