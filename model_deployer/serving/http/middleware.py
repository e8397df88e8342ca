"""The order of BentoML's middlewares around the gateway, and the removal of those that have no effect here.

BentoML wraps its application in middlewares that together cost as much as a prediction: tracing, even if nothing is
traced, and a timeout that starts a task per request and keeps a timer until the time is up, so that a thousand
requests per second accumulate hundreds of megabytes of timers. The gateway has deadlines of its own. Middlewares that
the configuration enables stay: tracing and BentoML's access log.

BentoML puts its CORS middleware behind the gateway, where it would see few requests and no response of the gateway.
"""

from typing import Any

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware


def remove_unused(application: Starlette) -> None:
    """Take the unused middlewares out of the application's stack. Call it while the application starts.

    Its router no longer redirects ``/predict/`` to ``/predict``: the redirect would lead to the host that the client
    names, without the path prefix and the scheme of a proxy.

    The stack exists by then, and is not built a second time: a middleware with metrics would register them twice.
    """
    application.router.redirect_slashes = False
    _remove(application.middleware_stack, _is_unused)


def is_outermost(inner: Any, application: Starlette) -> bool:
    """Return whether ``inner`` is the first of the application's middlewares, after the one that handles errors."""
    outermost: Any = application.middleware_stack
    return isinstance(outermost, ServerErrorMiddleware) and outermost.app is inner


def take_cors(application: Any) -> CORSMiddleware | None:
    """Take the CORS middleware out of the stack below ``application``, and return it; None if there is none."""
    removed = _remove(application, lambda middleware: isinstance(middleware, CORSMiddleware))
    return removed[0] if removed else None


def _remove(outermost: Any, is_removed: Any) -> list[Any]:
    """Take middlewares out of a stack, and return them. The application of each middleware is its attribute ``app``."""
    removed = []
    while (inner := getattr(outermost, "app", None)) is not None:
        if is_removed(inner):
            removed.append(inner)
            outermost.app = inner.app
        else:
            outermost = inner
    return removed


def _is_unused(middleware: Any) -> bool:
    name = type(middleware).__name__
    if name == "OpenTelemetryMiddleware":
        excluded: Any = middleware.excluded_urls
        return bool(excluded and excluded.url_disabled("http://localhost/predict"))
    return name == "TimeoutMiddleware"
