"""The BentoML service: `bentoml serve` serves a model of the store, and `bentoml build` pins that model in a Bento.

`bentoml serve --arg model=flight_delay:1.0.0` selects the model; without it, the store's only model is served. With
`model=flight_delay@champion`, the server follows the alias.
"""

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any

import bentoml
from bentoml.exceptions import BentoMLException
from bentoml.models import BentoModel
from pydantic import BaseModel, Field, WithJsonSchema

from model_deployer.contract import signature
from model_deployer.contract.errors import DeployerError
from model_deployer.serving import memory
from model_deployer.serving.admission import AdmissionControl
from model_deployer.serving.config import configuration, server_options, settings, startup_errors, tls, tracking
from model_deployer.serving.config.model_selection import MODEL_VARIABLE, followed_alias, select_model
from model_deployer.serving.engines import engine
from model_deployer.serving.engines.onnx import OnnxEngine
from model_deployer.serving.engines.remote import RUNNER_TIMEOUT_SECONDS, RemoteEngine, run_batches
from model_deployer.serving.engines.source import SOCKET_VARIABLE, SourceEngine
from model_deployer.serving.gateway import Gateway
from model_deployer.serving.grpc import address
from model_deployer.serving.http import connection, keys, listeners
from model_deployer.serving.http.access_log import AccessLog
from model_deployer.serving.observability import logs, metric_files, workers
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols import openapi, registry
from model_deployer.serving.rollout import takeover
from model_deployer.serving.rollout.alias_follower import AliasFollower
from model_deployer.serving.rollout.source_processes import SourceProcesses
from model_deployer.serving.service_calls import ServiceCalls
from model_deployer.serving.shadow.shadow_processes import ShadowProcesses

SERVICE_FILE = Path(__file__).resolve()


class Arguments(BaseModel):
    """The arguments of `--arg`."""

    model: str | None = None


tracking.disable()
requested_tag = bentoml.use_arguments(Arguments).model
tag = requested_tag
if workers.is_worker():
    logs.configure_process()
    tag = os.environ[MODEL_VARIABLE]
try:
    with takeover.failures_reported():
        CONFIGURATION = settings.locate(SERVICE_FILE.parent / "configuration.yaml")
        server_settings = settings.load(CONFIGURATION)
        artifact = select_model(SERVICE_FILE, tag, server_settings.model_folder)
        configuration.refuse_unsupported(CONFIGURATION)
        if server_settings.public_key_file:
            signature.verify(artifact, server_settings.public_key_file)
        api_keys = keys.load(server_settings.api_key_file)
        logs.configure()
        predictor = Predictor(artifact, server_settings)
        engine_name = engine.choose_engine(server_settings, is_graph=artifact.runner is None)
except DeployerError as error:
    raise BentoMLException(str(error)) from None

access_log = AccessLog(predictor.metrics, server_settings, api_keys, predictor.listeners)
service_calls = ServiceCalls(predictor, access_log)
connection.install(server_settings.keep_alive_seconds, AdmissionControl(predictor, access_log))
# By default BentoML reopens the connection to the runner every hundred calls, and loses the calls in progress.
persistent_connection = {"max_requests": 10**9, "max_age": 1e9}
gpu_resources = {"resources": {"gpu": engine.gpu_count()}} if engine.gpu_count() else {}

# BentoML passes these to image/Dockerfile.j2, which adds them to the image as labels.
image_labels = {
    "MODEL_TAG": artifact.tag,
    "MODEL_NAME": artifact.manifest.name,
    "MODEL_VERSION": artifact.manifest.version,
    "MODEL_DESCRIPTION": artifact.manifest.description,
    "MODEL_OWNER": artifact.manifest.owner,
    "MODEL_LICENSE": artifact.manifest.license,
    "MODEL_SOURCE": artifact.runner and artifact.runner.environment,
}

Row = Annotated[dict[str, Any], WithJsonSchema(artifact.contract.row_schema())]
Answer = Annotated[dict[str, Any], WithJsonSchema(openapi.answer_schema(artifact.contract.output.json_schema()))]


def local_engine(device: int | None, threads: int | None = 1) -> engine.Engine:
    """Create the engine of this process."""
    if artifact.runner:
        return SourceEngine(artifact, artifact.runner, os.environ[SOCKET_VARIABLE])
    return OnnxEngine(artifact.model, artifact.contract.output, threads, device)


@bentoml.service(
    **configuration.service_configuration(
        CONFIGURATION,
        "Runner",
        runner_connection=persistent_connection,
        workers=max(1, engine.gpu_count()),
        traffic={"timeout": RUNNER_TIMEOUT_SECONDS},
        **gpu_resources,
    )
)
class Runner:
    """Runs the graph for all workers, one process per GPU. Only the workers can reach it, through a local socket."""

    def __init__(self) -> None:
        gpus = engine.gpu_count()
        with takeover.failures_reported():
            self.engine = local_engine((bentoml.server_context.worker_index or 1) % gpus if gpus else None)
            predictor.replay(self.engine)

    @bentoml.on_startup
    async def watch(self) -> None:
        """Show that this process is alive, and that it can answer."""
        workers.show_life_regularly(lambda: predictor.metrics.show_life(requests=0, queued_rows=0))
        await takeover.wait_for_turn()

    @bentoml.api(batchable=True, max_batch_size=16, max_latency_ms=int(1000 * RUNNER_TIMEOUT_SECONDS))
    def run(self, batches: list[Any]) -> list[Any]:
        """Return the output tensors of each batch of columns; None for a batch on which the graph fails."""
        return run_batches(self.engine, batches)


@bentoml.service(
    **configuration.service_configuration(CONFIGURATION, "ModelService"),
    envs=[{"name": name, "value": value} for name, value in image_labels.items() if value],
)
class ModelService:
    """Serves the predictions of one model."""

    if server_settings.model_folder is None:
        model = BentoModel(artifact.tag)
    if engine_name == "runner":
        runner = bentoml.depends(Runner)

    def __init__(self) -> None:
        memory.return_large_blocks()
        threads = None if server_settings.threads == "auto" else server_settings.threads
        with takeover.failures_reported():
            local = local_engine(0 if engine_name == "cuda" else None, threads)
            predictor.start(self._remote_engine(local) if engine_name == "runner" else local)

    def _remote_engine(self, local: engine.Engine) -> RemoteEngine:
        """Create the engine that uses the runner. BentoML's client of it has no methods before it is connected."""
        return RemoteEngine(
            lambda batches: self.runner.to_async.run(batches),  # noqa: PLW0108
            local,
            asyncio.get_running_loop(),
            predictor.metrics.set_degraded,
        )

    @bentoml.api
    async def predict(self, rows: Annotated[list[Row], Field(examples=[[artifact.contract.example()]])]) -> Answer:
        """Return one prediction per row, in order."""
        return await service_calls.predict(rows)

    @bentoml.on_deployment
    @staticmethod
    def before_start() -> None:
        """Check the deployment once, in the parent of all workers: BentoML would restart a failing worker forever."""
        workers.become_parent()
        logs.configure_process()
        startup_errors.explain_failures()
        for problem in configuration.check(CONFIGURATION):
            logs.logger.warning(problem)
        registry.create_protocols(server_settings.protocols, predictor)
        metric_files.create_folder()
        watch = workers.WorkerWatch()
        os.environ[MODEL_VARIABLE] = artifact.tag
        sources = SourceProcesses(watch, engine.source_gpus(server_settings))
        if artifact.runner:
            os.environ[SOCKET_VARIABLE] = sources.start(artifact, artifact.runner)
        predictor.replay(local_engine(0 if engine_name == "cuda" else None))
        if predictor.capture:
            predictor.capture.check()
        shadows = ShadowProcesses(server_settings)
        os.environ.update(shadows.start(artifact))
        alias = followed_alias(SERVICE_FILE, requested_tag)
        watch.start(AliasFollower(alias, server_settings, watch, sources, shadows).start if alias else None)
        listeners.install()
        if tls_settings := server_options.tls():
            tls_settings.check(has_grpc=server_settings.grpc_port is not None)
        tls.pass_to_workers(tls_settings)
        if server_settings.grpc_port:
            registry.check_grpc(server_settings.protocols)
            address.reserve(server_options.host(), server_settings.grpc_port)

    def __is_ready__(self) -> bool:
        return predictor.ready

    @bentoml.on_startup
    async def listen(self) -> None:
        """Show that this process is alive, and start the gRPC server if the settings have a port for it.

        Without a port, the packages of gRPC are not loaded. A worker that takes over from another one accepts
        connections after that one has stopped to.
        """
        workers.show_life_regularly(predictor.show_life)
        if server_settings.grpc_port:
            from model_deployer.serving.grpc.server import GrpcServer  # noqa: PLC0415

            self.grpc_server = GrpcServer(predictor, server_settings, api_keys)
            await self.grpc_server.start()
        await takeover.wait_for_turn()

    @bentoml.on_shutdown
    async def close(self) -> None:
        """Finish the gRPC calls in progress, and stop the predictor."""
        if server_settings.grpc_port:
            await self.grpc_server.stop()
        predictor.close()


ModelService.add_asgi_middleware(
    Gateway,
    predictor=predictor,
    settings=server_settings,
    keys=api_keys,
    is_dependency=lambda: bentoml.server_context.service_type == "service",
)
