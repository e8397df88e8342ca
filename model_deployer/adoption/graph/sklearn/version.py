"""The version of scikit-learn that stored an object."""

from model_deployer.adoption.stored_object import StoredObject


def version_of(stored: StoredObject) -> tuple[int, int]:
    """Return the version as (1, 2); (0, 17) for an object that does not state it, as before 0.18."""
    major, minor, *_ = [*str(stored.get("_sklearn_version", "0.17")).split("."), "0"]
    return int(major), int("".join(filter(str.isdigit, minor)) or 0)
