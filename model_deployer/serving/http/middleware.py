"""Removal of BentoML's middlewares that have no effect here.

BentoML wraps its application in middlewares that together cost as much as a prediction: tracing, even if nothing is
traced, and a timeout that starts a task per request and keeps a timer until the time is up, so that a thousand
requests per second accumulate hundreds of megabytes of timers. The gateway has deadlines of its own. Middlewares that
the configuration enables stay: tracing, BentoML's access log and metrics, a limit on concurrency.
"""

from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware


def remove_unused_middleware(application: Starlette) -> None:
    """Rebuild the application's middleware stack without the unused ones. Call it while the application starts."""
    application.user_middleware = [
        middleware for middleware in application.user_middleware if not _is_unused(middleware)
    ]
    application.middleware_stack = application.build_middleware_stack()


def _is_unused(middleware: Middleware) -> bool:
    name = getattr(middleware.cls, "__name__", "")
    if name == "OpenTelemetryMiddleware":
        excluded: Any = middleware.kwargs["excluded_urls"]
        return bool(excluded and excluded.url_disabled("http://localhost/predict"))
    return name == "TimeoutMiddleware"
