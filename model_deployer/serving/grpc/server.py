"""The gRPC server of one worker, with health checks, reflection and a graceful stop."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from model_deployer.serving.config import tls
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.grpc import address, credentials, reflection, registry
from model_deployer.serving.grpc.calls import Calls
from model_deployer.serving.grpc.messages import POOL
from model_deployer.serving.http.keys import ApiKeys
from model_deployer.serving.observability.logs import logger
from model_deployer.serving.predictor import Predictor

_SERVING = health_pb2.HealthCheckResponse.SERVING

#: The maximum number of concurrent calls on one connection; further calls wait in the client.
_MAX_STREAMS = 1_024

#: The interval at which an idle connection is pinged.
_PING_INTERVAL_SECONDS = 60

#: The shortest interval between pings of a client that does not count as abuse.
_MIN_CLIENT_PING_INTERVAL_SECONDS = 10

#: The age at which a connection is closed, after its calls have ended, so that the client's next connection may reach
#: another worker or server.
_MAX_CONNECTION_AGE_SECONDS = 600

#: How long calls are still accepted after health checks report NOT_SERVING. Clients that watch the health have switched
#: to another server by then. A call of another client that arrives while gRPC stops fails with CANCELLED: gRPC cannot
#: refuse it earlier.
_DRAIN_SECONDS = 1.0

#: How long the last responses may take to be sent before all connections are closed.
_CLOSE_SECONDS = 0.5


class Health(health.aio.HealthServicer):  # type: ignore[misc]  # grpcio-health-checking has no type hints
    """The health of the server and of its services, with the method ``List``, which the base class lacks.

    Args:
        services: The names of the services; the server has the empty name.
    """

    def __init__(self, services: Sequence[str]) -> None:
        super().__init__()
        self.names = ("", *services)

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802 (the name in the protocol)
        """Return the status of the server and of its services."""
        statuses = {name: await self.Check(health_pb2.HealthCheckRequest(service=name), context) for name in self.names}
        return health_pb2.HealthListResponse(statuses=statuses)


class GrpcServer:
    """The gRPC server of one worker. It answers calls after :meth:`start`.

    Args:
        predictor: The predictor of the model, which must be ready.
        settings: The settings of the server.
        keys: The valid API keys; None if no key is required.
    """

    def __init__(self, predictor: Predictor, settings: Settings, keys: ApiKeys | None) -> None:
        limits = predictor.artifact.contract.limits
        self._port = settings.grpc_port or 0
        self._max_call_seconds = limits.timeout_seconds
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 1),
                ("grpc.max_receive_message_length", limits.body_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", _MAX_STREAMS),
                ("grpc.keepalive_time_ms", 1_000 * _PING_INTERVAL_SECONDS),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 1_000 * _MIN_CLIENT_PING_INTERVAL_SECONDS),
                ("grpc.max_connection_idle_ms", round(1_000 * settings.keep_alive_seconds)),
                ("grpc.max_connection_age_ms", 1_000 * _MAX_CONNECTION_AGE_SECONDS),
                ("grpc.max_connection_age_grace_ms", round(1_000 * self._max_call_seconds)),
            ]
        )
        self._calls = Calls(predictor, settings, keys)
        offered = registry.create_services(settings.protocols, predictor)
        self._server.add_generic_rpc_handlers(tuple(map(self._calls.handler, offered)))
        names = [service.name for service in offered]
        self._health = Health(names)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        POOL.AddSerializedFile(health_pb2.DESCRIPTOR.serialized_pb)
        reflection.enable(self._server, POOL, (*names, health.SERVICE_NAME))

    async def start(self) -> None:
        """Listen at the reserved address, with TLS if HTTP has it."""
        listen_address = address.listen_address(self._port)
        if tls_settings := tls.of_worker():
            self._server.add_secure_port(listen_address, credentials.server_credentials(tls_settings))
        else:
            self._server.add_insecure_port(listen_address)
        for name in self._health.names:
            await self._health.set(name, _SERVING)
        await self._server.start()
        logger.info("gRPC server listening", extra={"address": listen_address})

    async def stop(self) -> None:
        """Report NOT_SERVING, then refuse new calls, and return once all calls in progress are answered."""
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(_DRAIN_SECONDS)
        stop = asyncio.create_task(self._server.stop(self._max_call_seconds))
        await self._calls.finish()
        await self._server.stop(_CLOSE_SECONDS)
        await stop
