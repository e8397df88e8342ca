"""The gRPC server of one worker: it listens, says of its health, describes itself, and ends when the worker does."""

import asyncio

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from model_deployer.serving.config.settings import Settings
from model_deployer.serving.grpc import address
from model_deployer.serving.grpc.calls import Calls
from model_deployer.serving.grpc.messages import POOL, SERVICE
from model_deployer.serving.grpc.servicer import Servicer
from model_deployer.serving.http.keys import ApiKeys
from model_deployer.serving.observability.logs import logger
from model_deployer.serving.predictor import Predictor

_SERVING = health_pb2.HealthCheckResponse.SERVING

#: Calls that one connection may have under way; more wait at the client.
_STREAMS = 1_024

#: Seconds until a silent connection is asked whether its client is still there, and between two such questions of a
#: client's that are no abuse.
_PING_SECONDS = 60
_PINGED_SECONDS = 10

#: Seconds until a connection is closed, without harm to its calls, so that its client's next one may reach another
#: worker or server.
_AGE_SECONDS = 600

#: Seconds in which calls are still taken once the health says that the end is near. Who watches it has gone by then. Of
#: anybody else, a call that is on its way when gRPC stops is refused with CANCELLED: gRPC cannot say it sooner.
_FAREWELL = 1.0

#: Seconds in which answers leave and those who watch the health are sent away.
_LAST = 0.5


class GrpcServer:
    """Answers as soon as it is started.

    Args:
        predictor: What answers; it is ready.
        settings: The port, and which calls are logged.
        keys: Who is answered; None for everybody.
    """

    def __init__(self, predictor: Predictor, settings: Settings, keys: ApiKeys | None) -> None:
        limits = predictor.artifact.contract.limits
        self._port = settings.grpc_port or 0
        self._seconds = limits.timeout_seconds
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 1),
                ("grpc.max_receive_message_length", limits.body_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", _STREAMS),
                ("grpc.keepalive_time_ms", 1_000 * _PING_SECONDS),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 1_000 * _PINGED_SECONDS),
                ("grpc.max_connection_idle_ms", round(1_000 * settings.keep_alive_seconds)),
                ("grpc.max_connection_age_ms", 1_000 * _AGE_SECONDS),
                ("grpc.max_connection_age_grace_ms", round(1_000 * self._seconds)),
            ]
        )
        self._calls = Calls(predictor, settings, keys, Servicer(predictor).answers)
        self._server.add_generic_rpc_handlers((self._calls.handlers(),))
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        for described in (health_pb2, reflection_pb2):
            POOL.AddSerializedFile(described.DESCRIPTOR.serialized_pb)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server, pool=POOL)

    async def start(self) -> None:
        """Listen."""
        where = address.reserved(self._port)
        self._server.add_insecure_port(where)
        for name in ("", SERVICE):
            await self._health.set(name, _SERVING)
        await self._server.start()
        logger.info("gRPC is spoken", extra={"address": where})

    async def stop(self) -> None:
        """Say that the end is near, then refuse new calls, and return once those under way are answered."""
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(_FAREWELL)
        stopping = asyncio.create_task(self._server.stop(self._seconds))
        await self._calls.finish()
        await self._server.stop(_LAST)
        await stopping
