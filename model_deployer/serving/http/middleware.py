"""BentoML's middlewares, without those that do nothing here.

BentoML wraps its application in middlewares that together cost as much as a prediction: tracing, also where nothing is
traced, and a timeout that starts a task for each request and keeps a timer until the time is up, so that a thousand
requests a second leave hundreds of megabytes of timers behind. The gateway has deadlines of its own. What the
configuration asks for stays: tracing, BentoML's access log and metrics, a limit of concurrency.
"""

from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware


def remove_unused_middleware(application: Starlette) -> None:
    """Build the application's stack anew without idle middlewares; to be called while it starts."""
    application.user_middleware = [each for each in application.user_middleware if not _is_idle(each)]
    application.middleware_stack = application.build_middleware_stack()


def _is_idle(middleware: Middleware) -> bool:
    name = getattr(middleware.cls, "__name__", "")
    if name == "OpenTelemetryMiddleware":
        excluded: Any = middleware.kwargs["excluded_urls"]
        return bool(excluded and excluded.url_disabled("http://localhost/predict"))
    return name == "TimeoutMiddleware"
