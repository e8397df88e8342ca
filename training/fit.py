"""One model.yaml becomes one model in the store: trained here, or adopted."""

from pathlib import Path
from typing import TYPE_CHECKING

from model_deployer.training.data.dataset import read_dataset
from model_deployer.training.spec import read_spec

if TYPE_CHECKING:
    from model_deployer.training.completion import Completed


def fit(path: Path) -> "Completed":
    """Train the model that a model.yaml describes, or adopt it if it has a section ``adopt``.

    Args:
        path: The model.yaml.

    Raises:
        DeployerError: as :func:`training.run.train` and :func:`training.adoption_run.adopt`.
    """
    if read_spec(path).adopt:
        from model_deployer.training.adoption_run import adopt  # noqa: PLC0415 (torch takes seconds to load)

        return adopt(path)
    dataset = read_dataset(path)
    from model_deployer.training.run import train  # noqa: PLC0415 (errors of the input are reported before torch loads)

    return train(dataset)
