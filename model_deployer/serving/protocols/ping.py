"""The health check of SageMaker, MLflow, TorchServe and Vertex AI, with one response that suits all of them."""

import re
from typing import Any

from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import bodies, openapi
from model_deployer.serving.protocols.protocol import Reply, Request, Route

_STATUS = bodies.record({"status": {"enum": ["Healthy", "Unhealthy"]}})


def route(predictor: Predictor, path: str = "/ping") -> Route:
    """Return the route of the health check: 200 if the model is ready, else 503.

    Its description is the same for every protocol, so that several protocols may have it.
    """

    async def answer(request: Request) -> Reply:
        return Reply(health(predictor), 200 if predictor.ready else 503)

    return Route(path, answer, {"get": _operation(re.sub(r"\W+", "_", path.strip("/")))}, is_public=True)


def health(predictor: Predictor) -> bytes:
    """Return the body of the response, as JSON."""
    return b'{"status":"Healthy"}' if predictor.ready else b'{"status":"Unhealthy"}'


def _operation(name: str) -> dict[str, Any]:
    content = {"application/json": {"schema": _STATUS}}
    responses = {
        "200": {"description": "Ready", "content": content},
        "503": {"description": "Not ready: send no requests", "content": content},
    }
    tags, problems = ["Operation"], openapi.problems(openapi.CONNECTION_ERRORS)
    return {"operationId": name, "summary": "Ready for requests", "tags": tags, "responses": responses | problems}
