"""Record a run in MLflow: ``python -m model_deployer.tracking.mlflow_tracker``, in a process of its own.

Standard input has the run and the settings as JSON. The address of the run, or of the version of the registered model,
is printed.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array

from model_deployer.contract.artifact import open_artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.features import Boolean, Datetime, Feature, Image, Integer, NumberArray, Numeric
from model_deployer.handoff.formats.library import write_library
from model_deployer.package.package_data import write_metadata
from model_deployer.tracking.tracked_run import TrackedRun

_MODEL = Path(__file__).parent / "templates" / "mlflow_model.py"


def main() -> None:
    """Record the run of standard input."""
    content = json.load(sys.stdin)
    print(record(TrackedRun.from_json(content["run"]), content["settings"]))


def record(run: TrackedRun, settings: dict[str, Any]) -> str:
    """Record a run, and return the address of its registered model, or of the run if it is not registered.

    Args:
        run: The run.
        settings: ``uri``, ``experiment`` and ``register_model`` of model.yaml.
    """
    if settings["uri"]:
        mlflow.set_tracking_uri(settings["uri"])
    mlflow.set_experiment(settings["experiment"] or run.name)
    with mlflow.start_run(run_name=run.tag, tags=dict(run.tags), description=run.description) as started:
        mlflow.log_params(dict(run.parameters))
        mlflow.log_metrics(dict(run.metrics))
        for epoch, losses in run.epochs.items():
            mlflow.log_metrics(dict(losses), step=epoch)
        mlflow.log_metrics({f"candidate.{_metric_name(name)}": loss for name, loss in run.candidates.items()})
        source = LocalArtifactDatasetSource(str(run.parameters.get("data.path", run.name)))
        mlflow.log_input(MetaDataset(source, name=run.name, digest=run.data_version[-32:]), context="training")
        for name in run.files:
            mlflow.log_artifact(str(run.path / name), str(Path(name).parent) if "/" in name else None)
        registered = _log_model(run, settings)
        return registered or f"{mlflow.get_tracking_uri()} run {started.info.run_id}"


def _log_model(run: TrackedRun, settings: dict[str, Any]) -> str | None:
    artifact = open_artifact(run.path)
    if artifact.runner or not artifact.model.exists():
        return None
    contract = artifact.contract
    with TemporaryDirectory(prefix="model-deployer-") as folder:
        model = Path(folder) / "model"
        model.mkdir()
        write_metadata(artifact, is_verified=False, folder=Path(folder))
        (model / f"model_v{artifact.manifest.version}.onnx").write_bytes(artifact.model.read_bytes())
        write_library(model)
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(_MODEL),
            artifacts={"model": str(model)},
            signature=signature(contract),
            pip_requirements=_requirements(contract),
            registered_model_name=run.name if settings["register_model"] else None,
            metadata=dict(run.tags),
        )
    if logged.registered_model_version is None:
        return None
    client = mlflow.MlflowClient()
    for key, value in run.tags.items():
        client.set_model_version_tag(run.name, str(logged.registered_model_version), key, value)
    return f"models:/{run.name}/{logged.registered_model_version}"


def signature(contract: Contract) -> ModelSignature:
    """Return the signature of a contract: what MLflow checks before the model gets rows."""
    inputs = [ColSpec(_type(feature), feature.name, required=feature.required) for feature in contract.features]
    types = {"string": DataType.string, "number": DataType.double, "boolean": DataType.boolean}
    outputs = [
        ColSpec(Array(DataType.double) if schema["type"] == "array" else types[schema["type"]], name)
        for name, schema in contract.output.columns_schema().items()
    ]
    return ModelSignature(Schema(inputs), Schema(outputs))


def _type(feature: Feature) -> Any:
    """Return the type of a field. A field with a form, such as ``$1,234``, is text; others as the contract says."""
    if getattr(feature, "format", None):
        return DataType.string
    match feature:
        case Numeric():
            return DataType.double
        case Integer():  # in pandas, a column with a missing number is one of floats
            return DataType.double if feature.nullable else DataType.long
        case Boolean():
            return DataType.boolean
        case Datetime(zoned=False):
            return DataType.datetime
        case NumberArray():
            kind: Any = DataType.double
            for _ in feature.shape:
                kind = Array(kind)
            return kind
        case _:
            return DataType.string


def _requirements(contract: Contract) -> list[str]:
    packages = ["mlflow", "numpy", "onnxruntime", "pandas"]
    if any(isinstance(feature, Image) for feature in contract.features):
        packages.append("pillow")
    return [f"{package}=={version(package)}" for package in packages]


def _metric_name(name: str) -> str:
    """Return a name that MLflow takes: letters, digits and a few signs."""
    return "".join(sign if sign.isalnum() or sign in "_-./ " else "-" for sign in name)


if __name__ == "__main__":
    main()
