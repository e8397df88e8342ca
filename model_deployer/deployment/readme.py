"""README.md of the definitions: the files, the commands, and the formulas of the figures."""

from collections.abc import Sequence
from typing import Any

from jinja2 import PackageLoader

from model_deployer.deployment.workload import Workload
from model_deployer.package.banner import unverified_banner
from model_deployer.package.sizing import Size, rate
from model_deployer.writing.markdown import table
from model_deployer.writing.templates import jinja_environment, render


def readme(target: str, workload: Workload, sizes: Sequence[Size], **values: Any) -> str:
    """Return the page of a target, from templates/TARGET.md.j2.

    Args:
        target: The name of the target.
        workload: The workload that the definitions are for.
        sizes: The figures that the target's definitions contain.
        values: Further values that the template needs.
    """
    return render(
        _environment,
        f"{target}.md.j2",
        workload=workload,
        load=_load(target, workload),
        rate=rate,
        sizes=table(["Figure", "Value", "Formula"], sizes),
        unverified=unverified_banner(workload.package.is_verified),
        **values,
    )


def _load(target: str, workload: Workload) -> str:
    """Return the sentences about the load that the figures are for, or why there is none."""
    if workload.load is None:
        return (
            "The machine was busy when the package was measured. So its figures do not tell what a replica carries: "
            "the number of replicas is fixed, and nothing is derived from the use of CPU. Write the package again with "
            "`deployer handoff` on a machine that runs nothing else, and `deployer deploy` adds these figures."
        )
    return (
        f"The figures are for a load of {rate(workload.load)} one-row requests per second; "
        f"`deployer deploy {target} --rps` sets another load."
    )


_environment = jinja_environment(PackageLoader("model_deployer.deployment"))
