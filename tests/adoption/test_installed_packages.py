"""The packages that others need, in the environment of the tests."""

from importlib.metadata import version

from model_deployer.adoption.installed_packages import with_dependencies


def test_everything_that_a_package_needs_is_listed_once() -> None:
    packages = with_dependencies(["scikit-learn", "Python_DateUtil"])
    assert packages["scikit-learn"] == version("scikit-learn")
    assert {"numpy", "scipy", "joblib", "threadpoolctl", "python-dateutil", "six"} <= packages.keys()
    assert "pytest" not in packages
    assert list(packages) == sorted(packages)
    assert with_dependencies(packages) == packages


def test_a_package_that_is_not_installed_is_left_out() -> None:
    assert with_dependencies(["not-installed-anywhere"]) == {}
