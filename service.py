"""The BentoML service: `bentoml serve` answers with a model of the store, `bentoml build` pins that model in a Bento.

`bentoml serve --arg model=flight_delay:1.0.0` names the model; without it, the store's only model answers.
"""

import uuid
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import bentoml
import msgspec
import yaml
from bentoml.exceptions import BentoMLException
from bentoml.models import BentoModel
from pydantic import BaseModel, Field, WithJsonSchema
from pydantic_core import to_json

from contract.errors import DeployerError, MalformedBody, RequestError
from serving import logs, metrics, openapi, problem, startup
from serving.gateway import Gateway
from serving.predictor import Predictor
from serving.selection import select

HERE = Path(__file__).resolve()


class Arguments(BaseModel):
    """What `--arg` takes."""

    model: str | None = None


try:
    artifact = select(HERE, bentoml.use_arguments(Arguments).model)
except DeployerError as error:
    raise BentoMLException(str(error)) from None

logs.configure()
predictor = Predictor(artifact)
settings = yaml.safe_load((HERE.parent / "configuration.yaml").read_text(encoding="utf-8"))["services"]

Row = Annotated[dict[str, Any], WithJsonSchema(artifact.contract.row_schema())]
Answer = Annotated[dict[str, Any], WithJsonSchema(openapi.answer_schema(artifact.contract))]


def body(rows: list[dict[str, Any]]) -> bytes:
    """Rows from Python as a client would send them; NaN stays NaN, so that it is refused from everybody alike."""
    try:
        return to_json({"rows": rows}, inf_nan_mode="constants")
    except ValueError:
        raise MalformedBody("the rows hold a value that JSON cannot express") from None


@bentoml.service(**settings)
class ModelService:
    """Answers with the predictions of one model."""

    model = BentoModel(artifact.tag)

    def __init__(self) -> None:
        predictor.start()

    @bentoml.api
    async def predict(self, rows: Annotated[list[Row], Field(examples=[[artifact.contract.example()]])]) -> Answer:
        """One prediction for every row, in order."""
        try:
            answer: dict[str, Any] = msgspec.json.decode(await predictor.ask(body(rows)))
        except RequestError as error:
            document = problem.problem(error, request_id=uuid.uuid4().hex).decode()
            raise BentoMLException(document, error_code=HTTPStatus(error.status)) from None
        return answer

    @bentoml.on_deployment
    @staticmethod
    def before_start() -> None:
        """Run once, in the parent of all workers, which would start a worker that fails again and again."""
        startup.explain_failures()
        Predictor(artifact).start()
        metrics.share_folder()

    def __is_ready__(self) -> bool:
        return predictor.ready

    @bentoml.on_shutdown
    def close(self) -> None:
        """Let go of the engine."""
        predictor.close()


ModelService.add_asgi_middleware(
    Gateway, predictor=predictor, is_dependency=lambda: bentoml.server_context.service_type == "service"
)
