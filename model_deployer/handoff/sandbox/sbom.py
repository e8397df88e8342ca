"""sbom.cdx.json: the software bill of materials of a package, in CycloneDX (ECMA-424)."""

import sys
from pathlib import Path

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.handoff.sandbox.environment import CleanEnvironment
from model_deployer.system.command import last_line, run

SBOM = "sbom.cdx.json"


def write_sbom(package: Path, place: CleanEnvironment) -> None:
    """Write the bill of what the clean environment holds, licences included; the same packages give the same bytes.

    Raises:
        EnvironmentFault: cyclonedx-bom is not installed, or cannot read the environment.
    """
    program = Path(sys.executable).parent / "cyclonedx-py"
    if not program.exists():
        raise EnvironmentFault("'cyclonedx-bom' is missing: pip install 'model-deployer[handoff]'")
    command: list[str | Path] = [
        program,
        "environment",
        place.programs / "python",
        "--output-reproducible",
        "--output-file",
        package / SBOM,
    ]
    done = run(command)
    if done.returncode:
        raise EnvironmentFault(f"{SBOM} cannot be written: {last_line(done)}")
