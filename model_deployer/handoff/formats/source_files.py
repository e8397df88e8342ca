"""model/source/: the files of a source that serves its model itself, as they were handed over."""

import shutil
from pathlib import Path

from model_deployer.contract import origin_text
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.source_runner import SOURCE, SourceRunner
from model_deployer.package.formats import TOLERANCE, Format


def write_source(artifact: Artifact, runner: SourceRunner, folder: Path) -> list[Format]:
    """Copy the files of a source into a package, and return the formats of its model.

    The files are not replayed here: the service of the package does nothing else than ask them.

    Args:
        artifact: The model.
        runner: How its source is started.
        folder: The folder of the package.
    """
    place, adoption = f"model/{SOURCE}/", artifact.evaluation.adoption
    shutil.copytree(artifact.path / SOURCE, folder / place, copy_function=shutil.copyfile)
    loading = (
        "a pickle is a program, which runs when it is loaded" if runner.is_pickled else "loading them may run code"
    )
    about = f"The files of the source as they were handed over. Only the process of the model loads them: {loading}."
    served = origin_text.served(adoption) if adoption else "by the source itself, in a process of its own"
    return [
        Format(name="source", files=(place,), about=about, tolerance=TOLERANCE),
        Format(name="ONNX", files=(), about="", tolerance=TOLERANCE, withheld=f"the model is served {served}"),
    ]
