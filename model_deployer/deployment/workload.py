"""What is to run, and how much of it: all that the definitions of every platform are made of."""

import hashlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from model_deployer.package.package_data import PackageData
from model_deployer.package.sizing import (
    READINESS_FAILURES,
    READINESS_PERIOD,
    Size,
    Sizing,
    autoscaling,
    loads,
    probes,
    replicas,
    resources,
)

#: Where the image answers, unless PORT says otherwise.
PORT = 3000

#: Asked without an API key: whether the process runs, and whether it predicts.
LIVE, READY = "/livez", "/readyz"

METRICS = "/metrics"

#: The user that the image runs as. Any other does, too.
USER = 1034

#: The load that autoscaling may follow, as a multiple of the stated one: whoever calls in a loop costs no more.
PEAK = 3

#: Seconds in which a load balancer takes a replica that is to end out of its list: as long as it needs to see that one
#: is not ready.
DRAIN = READINESS_FAILURES * READINESS_PERIOD

#: Seconds that the server takes to end when nobody waits for an answer, and some to spare.
ENDING = 5

#: Liveness is asked for less often than readiness, and a restart needs more failures: it cures only what hangs.
LIVENESS_PERIOD, LIVENESS_FAILURES = 10, 3

#: Seconds that a probe waits: a server that is busy with a large batch answers late, and is not broken.
PROBE_TIMEOUT = 3

#: As long as the name of a Kubernetes service, or of any other thing with a name in the DNS (RFC 1035), may be.
LONGEST = 63


@dataclass(frozen=True)
class Workload:
    """A model in its image, under a load.

    Attributes:
        facts: Of the package.
        image: The name of the image, with a tag or a digest.
        load: Requests of one row a second that are to be carried.
    """

    facts: PackageData
    image: str
    load: float

    @property
    def model(self) -> str:
        """The name of the model, as callers know it."""
        return self.facts.manifest.name

    @property
    def version(self) -> str:
        """The version of the model."""
        return self.facts.manifest.version

    @cached_property
    def sizing(self) -> Sizing:
        """What a replica carries and takes."""
        return self.facts.sizing

    def name(self, longest: int = LONGEST) -> str:
        """The name of the model in lower-case letters, digits and hyphens, as platforms want it."""
        return label(self.model, longest)

    def versioned(self, longest: int = LONGEST) -> str:
        """Likewise, with the version."""
        return label(f"{self.model}-{self.version}", longest)

    @property
    def replicas(self) -> int:
        """Replicas that carry the load, one of them to spare."""
        return self.sizing.replicas(self.load)

    @property
    def most_replicas(self) -> int:
        """Replicas that an autoscaler may start."""
        return self.sizing.replicas(PEAK * self.load)

    @property
    def timeout(self) -> int:
        """Seconds after which the service gives a request up, rounded up."""
        return math.ceil(self.sizing.timeout_seconds)

    @property
    def grace(self) -> int:
        """Seconds from the moment in which a replica is told to end until it is ended by force."""
        return DRAIN + self.timeout + ENDING


def label(text: str, longest: int = LONGEST) -> str:
    """A text as a label of the DNS: lower-case letters, digits and hyphens, beginning with a letter.

    One that is too long ends in some digits of its SHA-256, so that it is told apart from others that begin alike.
    """
    found = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if not found[:1].isalpha():
        found = f"m-{found}".rstrip("-")
    if len(found) <= longest:
        return found
    end = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{found[: longest - 7].rstrip('-')}-{end}"


def sizes(workload: Workload) -> list[Size]:
    """Every figure of the definitions, beside the formula that it follows from."""
    return [*scaling(workload), autoscaling(workload.sizing), *of_replica(workload)]


def scaling(workload: Workload) -> list[Size]:
    """How many replicas there are."""
    load, peak = workload.load, PEAK * workload.load
    return [
        *loads(workload.sizing),
        replicas(workload.sizing, f"Replicas for {load:,.4g} requests of one row a second", load),
        replicas(workload.sizing, f"Replicas at most, for {PEAK} times as many", peak),
    ]


def of_replica(workload: Workload) -> list[Size]:
    """What each of them takes, and how it starts and ends."""
    return [
        *resources(workload.sizing),
        *probes(workload.sizing),
        _end(workload),
    ]


def on_machines(workload: Workload) -> list[Size]:
    """Likewise, where a replica has a machine to itself and its platform asks for its health in its own way."""
    return [*scaling(workload), *resources(workload.sizing)]


def _end(workload: Workload) -> Size:
    return Size(
        "Time to end",
        f"{workload.grace} s",
        f"{DRAIN} s until no load balancer sends more, {workload.timeout} s for the last request to be answered, "
        f"{ENDING} s to end",
    )


def formulas(found: Iterable[Size]) -> str:
    """Figures as lines of a comment."""
    return "\n".join(f"{name}: {figure} ({formula})" for name, figure, formula in found)
