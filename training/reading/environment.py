"""Values of model.yaml that hold names of environment variables, because model.yaml is stored with the model."""

import os
import re
from urllib.parse import quote

from model_deployer.contract.errors import SpecError
from model_deployer.training.spec import Spec

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def with_variables(value: str, key: str, spec: Spec) -> str:
    """Return a URL with the values of its environment variables, ``${NAME}``, quoted as parts of a URL.

    A value that is one variable is not quoted: the variable holds the whole URL.

    Args:
        value: The URL.
        key: The key under ``data`` that holds it, for messages.
        spec: The model.yaml.

    Raises:
        SpecError: if a variable is not set.
    """
    names = _VARIABLE.findall(value)
    if missing := [name for name in names if name not in os.environ]:
        raise SpecError(
            f"{spec.location('data', key)}: the environment variable {missing[0]} is not set; set it before the command"
        )
    if _VARIABLE.fullmatch(value):
        return os.environ[names[0]]
    return _VARIABLE.sub(lambda match: quote(os.environ[match[1]], safe=""), value)
