"""The sentences about the process in which the source of a model answers itself, one function per fact."""

from collections.abc import Iterator

from model_deployer.contract.number_format import count, seconds, size
from model_deployer.contract.source_runner import SourceRunner
from model_deployer.package.package_data import SOURCE_REQUIREMENTS, PackageData
from model_deployer.serving.engines.source import STUCK_FACTOR
from model_deployer.serving.engines.source_process import MAX_BACK_OFF_SECONDS, MIN_BACK_OFF_SECONDS
from model_deployer.writing.markdown import Markdown


def install(package: PackageData) -> Markdown:
    """Return why there is a second environment, as sentences."""
    return Markdown(
        "The model answers with the programs of the team that trained it. They run in a process of their own, which "
        f"the service starts, with {_packages(package)} of its own (`{SOURCE_REQUIREMENTS}`). Install these, too; "
        "without this command, the service does so at its first start:"
    )


def network(package: PackageData) -> Markdown:
    """Return what the installation needs, as sentences."""
    python = _runner(package).python
    other = (
        f" If Python {python} is not installed, uv downloads it, where uv is installed; else another version is tried, "
        "and the verification names it."
        if python
        else ""
    )
    return Markdown(
        "Both commands, and the build of the image, need a package index; the settings of pip (`pip.conf`, "
        f"`PIP_INDEX_URL`) name another one for both. A running service needs no network.{other}"
    )


def properties(package: PackageData) -> Iterator[Markdown]:
    """Yield what an operator has to know about the process."""
    limit = package.contract.limits.timeout_seconds
    yield Markdown(
        "**What it is.** The service starts one process that loads the files in [model/source/](../model/source/), as "
        f"they were handed over{_digest(package)}. {_trust(package)} It has {_packages(package)} of its own "
        f"([{SOURCE_REQUIREMENTS}](../{SOURCE_REQUIREMENTS})), apart from those of the service. It gets one message "
        "for each batch, over a local socket. All workers share it, and it answers one batch at a time."
    )
    yield Markdown(
        "**What it may do.** It has no network and cannot write files, as far as the system allows to take that away; "
        "the log says at the start what the system does not. The other processes of the service load none of its "
        "files: they only compare their checksums."
    )
    yield Markdown(
        "**If it ends,** requests get 503 with `Retry-After`, and `GET /readyz` 503 with the reason, until it answers "
        f"again. It is started again after {seconds(MIN_BACK_OFF_SECONDS)}, and after up to "
        f"{seconds(MAX_BACK_OFF_SECONDS)} if it keeps ending. Nothing answers in its place: `model_degraded` stays 0. "
        "`model_source_ends_total` counts the ends by their reason, and the [alert](#alerts) `ModelSourceEnded` fires."
    )
    yield Markdown(
        f"**If a batch takes longer than {seconds(limit)},** the time limit of a request, the system ends the process "
        f"with SIGALRM. A process that does not react for {seconds(STUCK_FACTOR * limit)} is killed. Then it is "
        "started again."
    )
    yield Markdown(
        "**If it refuses a row** that the [fields](#fields) allow, the request gets 422 with the code "
        "`refused_by_model`. Other requests of the same batch are answered."
    )
    yield Markdown(_memory(package))
    yield Markdown(
        "**Where its packages are.** The image has them. Without the image, the command in [README.md](../README.md) "
        "installs them in `.venv/environments`. If they are in neither place, the service installs them at its first "
        "start, in the folder that `MODEL_DEPLOYER_ENVIRONMENTS` names, else in the user's cache; this needs a package "
        "index."
    )


def readiness(package: PackageData) -> Markdown:
    """Return what readiness means in addition, as a sentence; empty if the model is a graph."""
    if package.runner is None:
        return Markdown()
    return Markdown("It answers with 503 while the [process of the model](#the-process-of-the-model) does not answer.")


def offline() -> Markdown:
    """Return why nothing but the service can predict, as sentences."""
    return Markdown(
        "The model answers in the service only: there is no ONNX file, and no runtime of another language can predict "
        "with it. The answers of the files in `model/source/` depend on the versions of their "
        "packages, and on how the service passes rows to them. Programs in every language use a [client](#clients)."
    )


def _digest(package: PackageData) -> str:
    adoption = package.evaluation.adoption
    return f" (digest `{adoption.digest}`)" if adoption else ""


def _trust(package: PackageData) -> str:
    if _runner(package).is_pickled:
        return "A pickle is a program, which runs when it is loaded: only this process loads it."
    return "Loading them may run code that they hold: only this process loads them."


def _memory(package: PackageData) -> str:
    measured = package.measured.memory_loaded_bytes
    peak = f" The measured peak is {size(measured)}." if measured else ""
    return (
        f"**Memory.** The figures and limits of this package are those of the service and this process together.{peak} "
        "`process_resident_memory_bytes` has the processes of the service alone."
    )


def _packages(package: PackageData) -> str:
    runner = _runner(package)
    return f"{f'Python {runner.python} and ' if runner.python else ''}{count(len(runner.requirements), 'package')}"


def _runner(package: PackageData) -> SourceRunner:
    assert package.runner
    return package.runner
