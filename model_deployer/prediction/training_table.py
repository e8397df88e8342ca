"""How the table that a model was trained from is read, for tables like it."""

from model_deployer.contract.artifact import SPEC, Artifact
from model_deployer.contract.errors import SpecError
from model_deployer.training.spec import Data, Spec, read_spec


def spec_for(artifact: Artifact, table: str) -> Spec:
    """Return a model.yaml that reads a table as the one that a model was trained from.

    Args:
        artifact: The model.
        table: The file, or a glob of files.
    """
    # A column that the table has shows where its header is.
    target = next((feature.name for feature in artifact.contract.features if feature.required), "")
    more = {"path": table, "query": None, "format": "auto", "footer_rows": None, "target": target}
    rows = {"where": None, "drop_missing_target": False}
    return Spec(name=artifact.manifest.name, data=training_spec(artifact).data.model_copy(update=more | rows))


def training_spec(artifact: Artifact) -> Spec:
    """Return the model.yaml of a model; one without keys if it cannot be read."""
    try:
        return read_spec(artifact.path / SPEC)
    except SpecError:  # a model of an earlier version may have other keys
        return Spec(name=artifact.manifest.name, data=Data(path="table", target=""))
