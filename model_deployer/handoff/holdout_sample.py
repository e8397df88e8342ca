"""examples/holdout.json: test rows with their truths, so that the receiver of a package can measure the model again.

model.yaml has to allow it, because they are rows of the table.
"""

from pathlib import Path
from typing import Any

import numpy as np

from model_deployer.contract.artifact import Artifact, write_json
from model_deployer.handoff.formats.holdout import HoldoutRows
from model_deployer.handoff.standalone.verify import HOLDOUT, losses_of_rows, mean
from model_deployer.prediction.training_table import training_spec


def write_holdout(artifact: Artifact, folder: Path, test: HoldoutRows | None) -> str:
    """Write the test rows that model.yaml allows, with the metrics of the model on them.

    Args:
        artifact: The model.
        folder: The folder of the package.
        test: The test rows; None if the table is not available.

    Returns:
        What was written, or why nothing was, in a phrase.
    """
    spec = training_spec(artifact)
    allowed = spec.holdout
    if allowed is None:
        return "no test rows: model.yaml does not allow it under `holdout`"
    names = [feature.name for feature in artifact.contract.features]
    if allowed.fields != "all" and (private := sorted(set(names) - set(allowed.fields))):
        return f"no test rows: model.yaml does not allow it for {', '.join(private)}"
    if spec.is_embedding:
        return "no test rows: an embedding has no truth to measure it with"
    if test is None or not test.requests:
        return "no test rows: the table is not available"
    chosen = np.unique(np.linspace(0, len(test.requests) - 1, min(allowed.rows, len(test.requests))).astype(int))
    rows = [{"row": test.requests[index], "truth": test.truths[test.request_indexes[index]]} for index in chosen]
    losses = losses_of_rows(_predictions(artifact, test, chosen), [row["truth"] for row in rows])
    content = {
        "test_rows": len(test),
        "is_weighted": spec.data.weight is not None,
        "metrics": {name: mean(values) for name, values in losses.items()},
        "rows": rows,
    }
    write_json(folder / HOLDOUT, content)
    return f"{len(rows):,} of {len(test):,} test rows, which model.yaml allows"


def _predictions(artifact: Artifact, test: HoldoutRows, chosen: Any) -> list[dict[str, Any]]:
    indexes = np.array(test.request_indexes)[chosen]
    arrays = {name: values[indexes] for name, values in test.expected.items()}
    return list(artifact.contract.output.predictions(arrays))
