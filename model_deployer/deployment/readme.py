"""README.md beside the definitions: what is there, what the figures follow from, and the commands."""

from collections.abc import Sequence
from typing import Any

from jinja2 import PackageLoader

from model_deployer.deployment.workload import Workload
from model_deployer.package.banner import unverified_banner
from model_deployer.package.sizing import Size
from model_deployer.writing.markdown import table
from model_deployer.writing.templates import jinja_environment, render


def readme(target: str, workload: Workload, sizes: Sequence[Size], **values: Any) -> str:
    """The page of a target, from templates/TARGET.md.j2.

    Args:
        target: Its name.
        workload: What is to run.
        sizes: The figures that the target's definitions state.
        values: What else the template speaks of.
    """
    shown = table(["What", "Figure", "How it follows"], sizes)
    return render(
        _environment,
        f"{target}.md.j2",
        workload=workload,
        load=f"{workload.load:,.4g}",
        sizes=shown,
        unverified=unverified_banner(workload.facts.is_verified),
        **values,
    )


_environment = jinja_environment(PackageLoader("model_deployer.deployment"))
