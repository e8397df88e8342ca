"""From a table and a model.yaml to an evaluated, versioned model behind an API, with BentoML.

::

    import model_deployer as md

    model = md.train(data=frame, target="price")   # a DataFrame of polars or pandas, or md.train("model.yaml")
    model = md.adopt(pipeline, data=test, target="price")   # a fitted model of scikit-learn and others, or its file
    model = md.load("diamonds:1.0.0")
    model.predict(frame)
    app.mount("/diamonds", md.application("diamonds"))   # in an application of FastAPI
    md.promote("diamonds:1.0.0")   # servers of diamonds@champion answer with it
    md.read("customers.csv").notes
    md.replay("traffic", "diamonds:1.1.0").trial.verdict   # captured traffic is asked again

:mod:`model_deployer.api` has the functions. They are imported when they are first used: a server imports this package,
and neither torch nor polars.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model_deployer.api import (
        Model,
        Reading,
        adopt,
        application,
        ledger,
        load,
        monitor,
        promote,
        read,
        recalibrate,
        replay,
        retrain,
        rollback,
        train,
    )
    from model_deployer.contract.errors import DeployerError

__all__ = [
    "DeployerError",
    "Model",
    "Reading",
    "adopt",
    "application",
    "ledger",
    "load",
    "monitor",
    "promote",
    "read",
    "recalibrate",
    "replay",
    "retrain",
    "rollback",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "model_deployer.contract.errors" if name == "DeployerError" else "model_deployer.api"
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
