"""Run the commands of the guide on captured traffic and labels, and read what the server has written."""

from pathlib import Path

from model_deployer.contract.errors import CheckFailed
from model_deployer.handoff import specification
from model_deployer.handoff.documents import captured_traffic
from model_deployer.handoff.documents.documents import GUIDE
from model_deployer.handoff.sandbox.environment import CleanEnvironment
from model_deployer.handoff.sandbox.server import run_server
from model_deployer.monitoring.traffic.traffic import read_traffic
from model_deployer.monitoring.traffic.traffic_files import open_files
from model_deployer.package.package_data import PackageData
from model_deployer.package.readme_commands import commands
from model_deployer.system.command import last_line
from model_deployer.system.janitor import temporary_folder


def check_capture(package: PackageData, environment: CleanEnvironment) -> str:
    """Start the server of a package with a traffic store, send the example with its label, and read the store.

    Args:
        package: The content of the package.
        environment: A copy of the package with its environment.

    Returns:
        The result in a sentence.

    Raises:
        CheckFailed: If a command of the guide fails, or the store has not what the guide says.
    """
    label = captured_traffic.label(package)
    with temporary_folder("model-traffic-") as folder:
        store = folder / "traffic"
        variables = {
            captured_traffic.STORE_VARIABLE: str(store),
            captured_traffic.KEY_VARIABLE: str(folder / "capture.key"),
        }
        blocks = commands(environment.folder, document=GUIDE)
        if "key" in blocks:
            _run(environment, blocks["key"], variables)
        with run_server(blocks["capture"], environment.folder, variables=variables) as server:
            blocks = commands(environment.folder, server.url, GUIDE)
            if label:
                _run(environment, blocks["prediction"])
                answer = specification.parse(_run(environment, blocks["feedback"]))
                if answer != {"accepted": 1}:
                    raise CheckFailed("the answer to the label in the guide differs from the guide")
            server.stop()
        return _check_store(package, store, label) if label else "the server starts with a traffic store"


def _run(environment: CleanEnvironment, command: str, variables: dict[str, str] | None = None) -> str:
    completed = environment.run(command, **(variables or {}))
    if completed.returncode:
        raise CheckFailed(f"a command of the guide fails: {last_line(completed)}")
    return completed.stdout


def _check_store(package: PackageData, store: Path, label: captured_traffic.Label) -> str:
    """Check that the store has the row of the example with its label, in the columns of the guide and no others."""
    rows = read_traffic(open_files(str(store)), package.manifest.name).rows
    ids, labels = rows["request_id"].to_list(), rows["label"].to_list()
    value = label.value if isinstance(label.value, str) else repr(float(label.value))
    if (ids, labels) != ([captured_traffic.EXAMPLE_REQUEST_ID], [value]):
        raise CheckFailed("the traffic store has not exactly the row of the example with its label")
    columns = {name for name in rows.columns if name.partition(".")[0] in ("input", "bin", "hash")}
    if columns != set(captured_traffic.columns(package)):
        raise CheckFailed("the traffic store has other columns of fields than the guide says")
    return f"the row of the example and its label are in the traffic store, with {len(columns)} columns of fields"
