"""README.md beside the definitions: what is there, what the figures follow from, and the commands."""

import re
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from model_deployer.deployment.workload import Workload
from model_deployer.handoff.documents.documents import verdict
from model_deployer.package.markdown import table
from model_deployer.package.sizing import Size


def readme(target: str, workload: Workload, sizes: Sequence[Size], **values: Any) -> str:
    """The page of a target, from templates/TARGET.md.j2.

    Args:
        target: Its name.
        workload: What is to run.
        sizes: The figures that the target's definitions state.
        values: What else the template speaks of.
    """
    shown = table(["What", "Figure", "How it follows"], sizes)
    text = _environment.get_template(f"{target}.md.j2").render(
        workload=workload,
        load=f"{workload.load:,.4g}",
        sizes=shown,
        unverified=verdict(workload.facts.is_verified),
        **values,
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


_environment = Environment(
    loader=PackageLoader("model_deployer.deployment"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,
)
