"""Read what was recorded in MLflow, and ask the registered model, in an environment that has MLflow alone.

Arguments: the address of the tracking server, and a file with rows. Prints the run and the answers as JSON.
"""

import json
import sys
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

uri, rows = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
mlflow.set_tracking_uri(uri)
(run,) = mlflow.search_runs(experiment_names=["tiny"], output_format="list")
version = mlflow.MlflowClient().get_model_version("tiny", "1")
model = mlflow.pyfunc.load_model("models:/tiny/1")
frame = pd.DataFrame(rows)
frame["departure"] = pd.to_datetime(frame["departure"])
answers = model.predict(frame)
try:
    model.predict(frame.assign(distance=-1.0))
    refusal = None
except MlflowException as error:
    refusal = str(error)
print(
    json.dumps(
        {
            "metrics": run.data.metrics,
            "parameters": run.data.params,
            "tags": run.data.tags,
            "dataset": [each.dataset.digest for each in run.inputs.dataset_inputs],
            "history": [each.value for each in mlflow.MlflowClient().get_metric_history(run.info.run_id, "train_loss")],
            "version": version.tags,
            "answers": json.loads(answers.to_json(orient="records", double_precision=15)),
            "refusal": refusal,
        }
    )
)
