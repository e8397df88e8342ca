"""sbom.cdx.json: the software bill of materials of a package, in CycloneDX (ECMA-424)."""

import sys
from pathlib import Path

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.handoff.sandbox.environment import CleanEnvironment
from model_deployer.system.command import last_line, run

SBOM = "sbom.cdx.json"


def write_sbom(folder: Path, environment: CleanEnvironment) -> None:
    """Write the bill of materials of the clean environment, with licences; the same packages give the same bytes.

    Args:
        folder: The folder of the package.
        environment: The installed environment.

    Raises:
        EnvironmentFault: If cyclonedx-bom is not installed, or cannot read the environment.
    """
    program = Path(sys.executable).parent / "cyclonedx-py"
    if not program.exists():
        raise EnvironmentFault("'cyclonedx-bom' is missing: pip install 'model-deployer[handoff]'")
    command: list[str | Path] = [
        program,
        "environment",
        environment.programs / "python",
        "--output-reproducible",
        "--output-file",
        folder / SBOM,
    ]
    completed = run(command)
    if completed.returncode:
        raise EnvironmentFault(f"cyclonedx-bom could not write {SBOM}: {last_line(completed)}")
