"""The evaluation of made-up models, without a training run."""

import torch

from model_deployer.contract.evaluation import (
    LINEAR,
    MODEL,
    CallTimes,
    CandidateResult,
    CurvePoint,
    Epoch,
    Evaluation,
    Finding,
    GateResult,
    LastGain,
    Latency,
    LearningCurve,
    NextGain,
    PartRows,
)
from model_deployer.contract.outputs import Classification
from model_deployer.training.evaluation.decisions import decisions
from model_deployer.training.evaluation.evaluation import evaluate_classification, evaluate_regression
from model_deployer.training.evaluation.importance import importance
from model_deployer.training.evaluation.reliability import reliability
from model_deployer.training.evaluation.residuals import residuals
from model_deployer.training.evaluation.scored_rows import ScoredRows
from model_deployer.training.evaluation.sensitivity import missing_values
from model_deployer.training.evaluation.slices import slices
from model_deployer.training.preprocessing.preprocessing import Inputs
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.spec import Cost
from tests.support.scored_rows import FEATURES

CURVE = LearningCurve(
    model="lightgbm",
    loss="log_loss",
    split="time",
    rows=70_001,
    points=(
        CurvePoint(rows=35_000, loss=0.3456, low=0.3345, high=0.3567),
        CurvePoint(rows=70_001, loss=0.3123, low=0.3012, high=0.3234),
    ),
    last=LastGain(gain=0.0333, low=0.0321, high=0.0345),
    next=NextGain(rows=140_002, low=0.0161, high=0.0345, measurable=True),
)

LATENCY = Latency(
    one_row_ms=CallTimes(p50=0.125, p99=0.25, calls=2000),
    batch_rows=512,
    batch_ms=CallTimes(p50=4.5, p99=6.75, calls=100),
    us_per_row=8.789,
    bytes=1_234_567,
    threads=1,
    onnxruntime="1.32.0",
    processor="Example 9000",
)


def evaluation(scored: ScoredRows) -> Evaluation:
    """Return the evaluation of some rows; the parts that need a training run are made up."""
    no_columns = torch.empty(len(scored), 0)
    sample = Sample(Inputs(no_columns, no_columns), scored.target)
    answers = {MODEL: scored.answers, LINEAR: scored.answers}
    measured = (
        evaluate_classification(answers, sample, 0.5, Cost(), 0)
        if isinstance(scored.output, Classification)
        else evaluate_regression(answers, sample, scored.output, 0)
    )
    return Evaluation(
        task=scored.output.task,
        rows=PartRows(train=70_001, validation=15_002, test=len(scored)),
        split="random",
        metrics=measured.metrics,
        differences=measured.differences,
        decisions=decisions(scored, Cost()),
        residuals=residuals(scored),
        slices=slices(scored, [FEATURES[4]]),
        importance=importance(scored, 0),
        missing=missing_values(scored, 0),
        reliability=reliability(scored),
        curve=CURVE.model_copy(update={"loss": scored.loss}),
        history=(Epoch(epoch=1, train_loss=0.7, validation_loss=0.61),),
        logarithm=scored.loss == "rmse",
        parity=2e-6,
        findings=(Finding(severity="warning", column="noise", code="leakage", message="tells the target"),),
        gates=(GateResult(name="gates.p99_ms", asked="at most 5", found=7.25, passed=False, message="2.25 too high"),),
        candidates=(CandidateResult(name="trees", loss=0.4567, seconds=12.5, chosen=True),),
        latency=LATENCY,
    )
