"""A model as an ASGI application, to mount in an application of FastAPI, Starlette or Django.

It answers as the service does, in every protocol of its settings, and with its documents and metrics. What is not here
belongs to a server: workers, TLS, gRPC, admission by connection, the GPU runner and aliases that are followed.
"""

import asyncio
from typing import Any

from model_deployer.contract import signature
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import UsageError
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.engines.onnx import OnnxEngine
from model_deployer.serving.gateway import Gateway
from model_deployer.serving.http import asgi
from model_deployer.serving.http.asgi import Receive, Scope, Send
from model_deployer.serving.http.keys import ApiKeys
from model_deployer.serving.predictor import Predictor


class Application:
    """Answers requests with the predictions of one model, in this process.

    It starts at the first request, or in ``async with application:``, which also ends it: nothing else starts and ends
    an application that is mounted.

    Args:
        artifact: The model.
        settings: The settings of the server.
        keys: The valid API keys; None if no key is required.

    Raises:
        UsageError: if the settings want what only a server has, or the model is served by its source.
        ArtifactError: if the settings have a public key, and the model is not signed with its private key.
    """

    def __init__(self, artifact: Artifact, settings: Settings, keys: ApiKeys | None = None) -> None:
        _check(artifact, settings)
        self._artifact, self._settings = artifact, settings
        self._predictor = Predictor(artifact, settings)
        self._gateway = Gateway(_answer_probe, self._predictor, settings, keys, is_dependency=lambda: False)
        self._start = asyncio.Lock()

    async def __aenter__(self) -> "Application":
        async with self._start:
            if not self._predictor.ready:
                self._predictor.start(self._engine())
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._predictor.close)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an ASGI connection: one of HTTP, or the lifespan where the application is not mounted."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            if not self._predictor.ready:
                await self.__aenter__()
            await self._gateway(_relative(scope), receive, send)

    def _engine(self) -> OnnxEngine:
        threads = None if self._settings.threads == "auto" else self._settings.threads
        return OnnxEngine(self._artifact.model, self._artifact.contract.output, threads)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def _check(artifact: Artifact, settings: Settings) -> None:
    if artifact.runner:
        raise UsageError(f"{artifact.tag} is served by its source, in a process that a server starts: serve it alone")
    for name, is_set in (
        ("engine", settings.engine not in ("auto", "cpu")),
        ("shadow", settings.shadow),
        ("grpc_port", settings.grpc_port),
        ("model_folder", settings.model_folder),
    ):
        if is_set:
            raise UsageError(f"serving.{name}: an application that is mounted has none; serve the model alone")
    if settings.public_key_file:
        signature.verify(artifact, settings.public_key_file)


def _relative(scope: Scope) -> dict[str, Any]:
    """Return the scope with the path below the place where the application is mounted."""
    prefix: str = scope.get("root_path", "")
    path: str = scope["path"]
    return {**scope, "path": path.removeprefix(prefix) or "/"} if prefix and path.startswith(prefix) else dict(scope)


async def _answer_probe(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the paths that the gateway leaves to a server: probes, and the schema of BentoML's client."""
    del receive
    is_alive = scope["path"] in ("/livez", "/healthz")
    body = b"alive\n" if is_alive else b"not found\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await asgi.respond(send, 200 if is_alive else 404, headers, body)
