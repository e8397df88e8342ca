"""The evaluation.json of models whose faults are known, without a training run."""

from dataclasses import asdict
from typing import Any

import torch

from model_deployer.contract.outputs import Classification
from model_deployer.training.data.profile import Finding
from model_deployer.training.evaluation.evaluation import evaluate_classification, evaluate_regression
from model_deployer.training.evaluation.importance import importance
from model_deployer.training.evaluation.reliability import reliability
from model_deployer.training.evaluation.scored_rows import ScoredRows
from model_deployer.training.evaluation.sensitivity import missing_values
from model_deployer.training.evaluation.slices import slices
from model_deployer.training.preprocessing.preprocessing import Inputs
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.spec import Cost
from tests.support.scored_rows import FEATURES

CURVE: dict[str, Any] = {
    "model": "lightgbm",
    "loss": "log_loss",
    "split": "time",
    "rows": 70_001,
    "points": [
        {"rows": 35_000, "loss": 0.3456, "low": 0.3345, "high": 0.3567},
        {"rows": 70_001, "loss": 0.3123, "low": 0.3012, "high": 0.3234},
    ],
    "last": {"gain": 0.0333, "low": 0.0321, "high": 0.0345},
    "next": {"rows": 140_002, "low": 0.0161, "high": 0.0345, "measurable": True},
}

LATENCY: dict[str, Any] = {
    "one_row_ms": {"p50": 0.125, "p99": 0.25, "calls": 2000},
    "batch_rows": 512,
    "batch_ms": {"p50": 4.5, "p99": 6.75, "calls": 100},
    "us_per_row": 8.789,
    "bytes": 1_234_567,
    "threads": 1,
    "onnxruntime": "1.32.0",
    "processor": "Example 9000",
}


def evaluation(judged: ScoredRows) -> dict[str, Any]:
    """Everything but what needs a training run."""
    nothing = torch.empty(len(judged), 0)
    sample = Sample(Inputs(nothing, nothing), judged.target)
    answers = {"model": judged.answers, "linear": judged.answers}
    metrics = (
        evaluate_classification(answers, sample, 0.5, Cost(), 0)
        if isinstance(judged.output, Classification)
        else evaluate_regression(answers, sample, judged.output, 0)
    )
    return {
        "task": judged.output.kind,
        "rows": {"train": 70_001, "validation": 15_002, "test": len(judged)},
        "split": "random",
        "metrics": metrics,
        "slices": slices(judged, [FEATURES[4]]),
        "importance": importance(judged, 0),
        "missing": missing_values(judged, 0),
        "reliability": reliability(judged),
        "curve": CURVE | {"loss": judged.loss},
        "history": [{"epoch": 1, "train_loss": 0.7, "validation_loss": 0.61}],
        "logarithm": judged.loss == "rmse",
        "parity": 2e-6,
        "findings": [asdict(Finding("warning", "noise", "leakage", "tells the target"))],
        "gates": [
            {"name": "gates.p99_ms", "asked": "at most 5", "found": 7.25, "passed": False, "message": "2.25 too high"}
        ],
        "candidates": [{"name": "trees", "loss": 0.4567, "seconds": 12.5, "chosen": True}],
        "latency": LATENCY,
    }
