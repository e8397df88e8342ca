"""The BentoML service: `bentoml serve` answers with a model of the store, `bentoml build` pins that model in a Bento.

`bentoml serve --arg model=flight_delay:1.0.0` names the model; without it, the store's only model answers.
"""

import asyncio
import uuid
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import bentoml
import msgspec
from bentoml.exceptions import BentoMLException
from bentoml.models import BentoModel
from pydantic import BaseModel, Field, WithJsonSchema
from pydantic_core import to_json

from model_deployer.contract import signature
from model_deployer.contract.errors import DeployerError, MalformedBody, RequestError
from model_deployer.serving.admission import AdmissionControl
from model_deployer.serving.config import configuration, settings, startup_errors
from model_deployer.serving.config.model_selection import select_model
from model_deployer.serving.engines import engine
from model_deployer.serving.engines.onnx import OnnxEngine
from model_deployer.serving.engines.remote import RUNNER_TIMEOUT_SECONDS, RemoteEngine, run_batches
from model_deployer.serving.gateway import Gateway
from model_deployer.serving.grpc import address
from model_deployer.serving.http import connection, keys, problem_details
from model_deployer.serving.observability import logs, metrics
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import openapi, registry

HERE = Path(__file__).resolve()


class Arguments(BaseModel):
    """What `--arg` takes."""

    model: str | None = None


try:
    CONFIGURATION = settings.locate(HERE.parent / "configuration.yaml")
    artifact = select_model(HERE, bentoml.use_arguments(Arguments).model)
    chosen = settings.load(CONFIGURATION)
    if chosen.public_key_file:
        signature.verify(artifact, chosen.public_key_file)
    api_keys = keys.load(chosen.api_key_file)
except DeployerError as error:
    raise BentoMLException(str(error)) from None

logs.configure()
predictor = Predictor(artifact, chosen)
connection.install(chosen.keep_alive_seconds, AdmissionControl(predictor))
kind = engine.choose_engine(chosen)
# BentoML would open the connection to the runner anew every hundred calls, and lose those that are under way.
lasting = {"max_requests": 10**9, "max_age": 1e9}
on_gpus = {"resources": {"gpu": engine.gpu_count()}} if engine.gpu_count() else {}

# BentoML hands these to image/Dockerfile.j2, which labels the image with them.
labels = {
    "MODEL_TAG": artifact.tag,
    "MODEL_NAME": artifact.manifest.name,
    "MODEL_VERSION": artifact.manifest.version,
    "MODEL_DESCRIPTION": artifact.manifest.description,
    "MODEL_OWNER": artifact.manifest.owner,
    "MODEL_LICENSE": artifact.manifest.license,
}

Row = Annotated[dict[str, Any], WithJsonSchema(artifact.contract.row_schema())]
Answer = Annotated[dict[str, Any], WithJsonSchema(openapi.answer_schema(artifact.contract))]


def onnx_engine(device: int | None, threads: int | None = 1) -> OnnxEngine:
    """The engine in this process."""
    return OnnxEngine(artifact.model, artifact.contract.output, threads, device)


def body(rows: list[dict[str, Any]]) -> bytes:
    """Rows from Python as a client would send them; NaN stays NaN, so that it is refused from everybody alike."""
    try:
        return to_json({"rows": rows}, inf_nan_mode="constants")
    except ValueError:
        raise MalformedBody("the rows hold a value that JSON cannot express") from None


@bentoml.service(
    **configuration.service_configuration(
        CONFIGURATION,
        "Runner",
        runner_connection=lasting,
        workers=max(1, engine.gpu_count()),
        traffic={"timeout": RUNNER_TIMEOUT_SECONDS},
        **on_gpus,
    )
)
class Runner:
    """Runs the graph for all workers, one process a GPU; reached by no network, only by the workers' socket."""

    def __init__(self) -> None:
        gpus = engine.gpu_count()
        self.engine = onnx_engine((bentoml.server_context.worker_index or 1) % gpus if gpus else None)
        predictor.replay(self.engine)

    @bentoml.api(batchable=True, max_batch_size=16, max_latency_ms=int(1000 * RUNNER_TIMEOUT_SECONDS))
    def run(self, batches: list[Any]) -> list[Any]:
        """The output tensors of each batch of columns; None for one on which the graph fails."""
        return run_batches(self.engine, batches)


@bentoml.service(
    **configuration.service_configuration(CONFIGURATION, "ModelService"),
    envs=[{"name": name, "value": value} for name, value in labels.items() if value],
)
class ModelService:
    """Answers with the predictions of one model."""

    model = BentoModel(artifact.tag)
    if kind == "runner":
        runner = bentoml.depends(Runner)

    def __init__(self) -> None:
        local = onnx_engine(0 if kind == "cuda" else None, None if chosen.threads == "auto" else chosen.threads)
        predictor.start(self._remote(local) if kind == "runner" else local)

    def _remote(self, local: OnnxEngine) -> RemoteEngine:
        """The runner, asked over its socket; its client has its methods only once it is connected."""
        return RemoteEngine(
            lambda batches: self.runner.to_async.run(batches),  # noqa: PLW0108
            local,
            asyncio.get_running_loop(),
            predictor.metrics.set_degraded,
        )

    @bentoml.api
    async def predict(self, rows: Annotated[list[Row], Field(examples=[[artifact.contract.example()]])]) -> Answer:
        """One prediction for every row, in order."""
        try:
            answer: dict[str, Any] = msgspec.json.decode(await predictor.answer_in_time(body(rows)))
        except RequestError as error:
            document = problem_details.encode_problem(error, request_id=uuid.uuid4().hex).decode()
            raise BentoMLException(document, error_code=HTTPStatus(error.status)) from None
        return answer

    @bentoml.on_deployment
    @staticmethod
    def before_start() -> None:
        """Run once, in the parent of all workers, which would start a worker that fails again and again."""
        startup_errors.explain_failures()
        for complaint in configuration.check(CONFIGURATION):
            logs.logger.warning(complaint)
        registry.create_protocols(chosen.protocols, predictor)
        predictor.replay(onnx_engine(0 if kind == "cuda" else None))
        metrics.create_shared_folder()
        if chosen.grpc_port:
            address.reserve(chosen.grpc_port)

    def __is_ready__(self) -> bool:
        return predictor.ready

    @bentoml.on_startup
    async def listen(self) -> None:
        """Speak gRPC, where the settings want it; else its packages are not even loaded."""
        if chosen.grpc_port:
            from model_deployer.serving.grpc.server import GrpcServer  # noqa: PLC0415

            self.grpc = GrpcServer(predictor, chosen, api_keys)
            await self.grpc.start()

    @bentoml.on_shutdown
    async def close(self) -> None:
        """Answer what was asked over gRPC, and let go of the engine."""
        if chosen.grpc_port:
            await self.grpc.stop()
        predictor.close()


ModelService.add_asgi_middleware(
    Gateway,
    predictor=predictor,
    settings=chosen,
    keys=api_keys,
    is_dependency=lambda: bentoml.server_context.service_type == "service",
)
