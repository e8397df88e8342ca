"""Fit the estimators of other libraries by their names in model.yaml: trees, and any class like scikit-learn's."""

from functools import partial

from model_deployer.training.models import lightgbm_trees, xgboost_trees
from model_deployer.training.models.search import Options, SearchResult
from model_deployer.training.models.sklearn_estimators import fit_sklearn
from model_deployer.training.preprocessing.matrix import Matrix
from model_deployer.training.runtime.console import print_stage


def fit_estimator(name: str, train: Matrix, validation: Matrix, options: Options) -> SearchResult:
    """Fit an estimator and convert it to ONNX.

    Args:
        name: ``lightgbm``, ``xgboost``, ``random_forest``, ``histogram_boosting``, or the import path of a class.
        train: The training rows.
        validation: The rows for early stopping, for the search of parameters, and for the comparison of the ONNX form
            with the library.
        options: The options of the fit.

    Raises:
        EnvironmentFault: if a library is not installed.
        SpecError: if there is no such estimator, or it does not suit the target.
        CheckFailed: if the estimator cannot be converted to ONNX.
        KeyboardInterrupt: if the user interrupts the fit.
    """
    fit = {"lightgbm": lightgbm_trees.fit_lightgbm, "xgboost": xgboost_trees.fit_xgboost}.get(name)
    return (fit or partial(fit_sklearn, name))(train, validation, options)


def installed_boosting() -> str:
    """Return the name of the boosted trees for ``auto``: ``lightgbm`` if it is installed, else another one."""
    if lightgbm_trees.is_installed():
        return "lightgbm"
    alternative = "xgboost" if xgboost_trees.is_installed() else "histogram_boosting"
    print_stage(
        "warning",
        f"LightGBM, or the system library libgomp that it needs, is not installed; using {alternative} instead. "
        "To use LightGBM: pip install lightgbm",
    )
    return alternative
