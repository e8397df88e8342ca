"""Every estimator that is not fitted by gradient or in closed form, by its name in model.yaml."""

from functools import partial

from model_deployer.training.models import lightgbm_trees, xgboost_trees
from model_deployer.training.models.search import Options, SearchResult
from model_deployer.training.models.sklearn_estimators import fit_sklearn
from model_deployer.training.preprocessing.matrix import Matrix
from model_deployer.training.runtime.console import print_stage


def fit_estimator(name: str, train: Matrix, validation: Matrix, options: Options) -> SearchResult:
    """Fit ``lightgbm``, ``xgboost``, ``random_forest``, ``histogram_boosting``, or what is at an import path.

    Raises:
        EnvironmentFault: A library is not installed.
        SpecError: There is no such estimator, or it is not for this target.
        CheckFailed: It cannot become ONNX.
        KeyboardInterrupt: The user interrupted.
    """
    fit = {"lightgbm": lightgbm_trees.fit_lightgbm, "xgboost": xgboost_trees.fit_xgboost}.get(name)
    return (fit or partial(fit_sklearn, name))(train, validation, options)


def installed_boosting() -> str:
    """The name of the boosted trees to try unasked: LightGBM's, where it is installed."""
    if lightgbm_trees.is_installed():
        return "lightgbm"
    other = "xgboost" if xgboost_trees.is_installed() else "histogram_boosting"
    print_stage(
        "warning", f"{other} is tried: LightGBM, or the libgomp that it needs, is not installed; pip install lightgbm"
    )
    return other
