"""Package data of models that were never trained; their evaluations are those of models with known faults."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from model_deployer.contract.artifact import Manifest, Provenance
from model_deployer.contract.contract import Contract
from model_deployer.contract.evaluation import Evaluation
from model_deployer.contract.outputs import Arrays
from model_deployer.contract.reference import Reference
from model_deployer.package.clients import Client
from model_deployer.package.formats import Agreement, Format
from model_deployer.package.measurements import Conditions, Latency, Machine, Measurements, RelativeLatency
from model_deployer.package.package_data import PackageData
from model_deployer.package.samples import Sample, Samples
from model_deployer.training.evaluation.scored_rows import ScoredRows
from tests.support import tiny
from tests.support.evaluations import evaluation

PNG = b"\x89PNG\r\n\x1a\n"

CANDIDATES = [
    {"name": "tabm+lightgbm", "loss": 0.4567, "seconds": 12.5, "epochs": 3, "chosen": True},
    {"name": "linear", "loss": 0.5678, "seconds": 0.5, "chosen": False},
]


def package_of(contract: Contract, evaluation: Mapping[str, Any], **fields: Any) -> PackageData:
    """The data of a package with this contract and evaluation; ``fields`` are those of its manifest."""
    manifest = Manifest(
        **{
            "name": "delays",
            "version": "1.2.3",
            "created": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            "tolerance": 1e-5,
            "origin": Provenance(data_version="sha256:abc", seed=42, python="3.12.1", libraries={"torch": "2.9.9"}),
        }
        | fields
    )
    return PackageData(
        manifest=manifest,
        contract=contract,
        evaluation=Evaluation.model_validate({"task": contract.output.task} | dict(evaluation)),
        reference=Reference.model_validate(tiny.REFERENCE),
        formats=(
            Format(
                name="ONNX",
                files=("model/model_v1.2.3.onnx",),
                about="what the service runs",
                tolerance=1e-5,
                golden=Agreement(rows=31, largest=2.5e-7, flips=_flips(contract)),
            ),
            Format(name="TorchScript", files=(), about="for C++", tolerance=1e-5, withheld="it differs by 0.3"),
        ),
        measured=MEASURED,
        samples=_samples(contract),
        clients=(
            Client(language="Go", folder="examples/clients/go", files=("examples/clients/go/client.go",),
                   needs="Go 1.19", command="go run ./check"),
            Client(language="Rust", folder="examples/clients/rust", files=(), needs="", command="",
                   left_out="Rust is not installed"),
        ),
        changes=_changes(evaluation),
        endpoints=(("POST", "/predict", "Predict"), ("GET", "/ping", "Ready, for SageMaker")),
        is_verified=True,
        plots=dict.fromkeys(("reliability", "slices", "importance", "curve"), PNG),
    )  # fmt: skip


def package_of_scored_rows(scored: ScoredRows, **fields: Any) -> PackageData:
    """The data of a package whose model was evaluated on these rows; ``fields`` are those of its manifest."""
    features = [
        feature.model_copy(update={"example": example})
        for feature, example in zip(scored.features, (12.5, 0.25, True, "2013-11-01T17:05:00", "JFK"), strict=True)
    ]
    contract = Contract(features=tuple(features), output=scored.output)
    return package_of(contract, evaluation(scored).to_json() | {"candidates": CANDIDATES}, **fields)


def _latencies(cells: Sequence[tuple[int, int]]) -> tuple[Latency, ...]:
    return tuple(
        Latency(rows=rows, clients=clients, requests=3210, failures=0, seconds=3.0, p50=1.25, p95=2.25, p99=3.456,
                p50_low=1.125, p50_high=1.625, requests_per_second=1070.0)
        for rows, clients in cells
    )  # fmt: skip


_QUIET = Conditions(load_average=0.5, others_share=0.01, steal_share=0.0, client_cores=0.4, megahertz=2600)

MEASURED = Measurements(
    machine=Machine(processor="Example 9000", cores=2, memory_bytes=8 * 1024**3, system="Linux", python="3.12.1"),
    when=datetime(2026, 1, 2, 4, tzinfo=UTC),
    engine="cpu",
    workers=1,
    cold_start_seconds=3.456,
    memory_ready_bytes=200 * 1024**2,
    memory_loaded_bytes=None,
    by_rows=_latencies([(1, 1), (100, 1)]),
    by_load=_latencies([(1, 1), (1, 16)]),
    relative=(
        RelativeLatency(
            clients=1, p50=1.25, p99=3.5, reference_p50=0.5, ratio=2.5, low=2.25, high=2.75, blocks=7, conditions=_QUIET
        ),
    ),
)


def _samples(contract: Contract) -> Samples:
    model = {"name": "delays", "version": "1.2.3"}
    row = contract.example()
    problem = {"row": 0, "field": contract.names[0], "code": "missing_field", "message": "the field is required"}
    refused = {"code": "invalid_rows", "status": 422, "errors": [problem], "error_count": 1}
    answer = {"predictions": contract.output.predictions(_arrays(contract)), "model": model}
    return Samples(
        model=model,
        tolerance=1e-5,
        golden=(Sample(case="example", request={"rows": [row]}, status=200, answer=answer),),
        edge=(),
        invalid=(Sample(case="a field is missing", request={"rows": [{}]}, status=422, answer=refused),),
    )


def _flips(contract: Contract) -> int | None:
    return 0 if contract.output.kind == "classification" else None


def _arrays(contract: Contract) -> Arrays:
    if contract.output.kind == "regression":
        return {name: np.array([[value]], np.float32) for name, value in {"value": 3, "lower": 1, "upper": 5.5}.items()}
    if contract.output.kind == "vector":
        return {"values": np.arange(contract.output.length, dtype=np.float32)[None]}
    labels = len(contract.output.labels)
    return {"probabilities": np.array([[0.75] + [0.25 / (labels - 1)] * (labels - 1)], np.float32)}


def _changes(evaluation: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    metrics = {
        name: {"old": figure, "new": figure, "verdict": "within the noise"}
        for name, figure in evaluation["metrics"].get("model", {}).items()
    }
    change = {"step": "major", "field": "distance", "message": "removed: requests with this field are refused"}
    first = {"version": "1.0.0", "created": "2025-12-24T00:00:00Z", "since": None, "step": "major"}
    latest = {"version": "1.2.3", "created": "2026-01-02T03:04:05Z", "since": "1.0.0", "step": "minor"}
    return (
        latest | {"contract": [change], "behaviour": None, "metrics": metrics},
        first | {"contract": [], "behaviour": None, "metrics": {}},
    )
