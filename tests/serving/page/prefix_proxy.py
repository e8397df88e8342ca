"""A reverse proxy that serves a server below a path prefix, which it strips."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx

_FORWARDED = ("content-type", "x-api-key", "accept", "if-none-match")


@contextmanager
def serve_below(prefix: str, url: str) -> Iterator[str]:
    """Yield the URL of the proxy, without a slash at its end; other paths than those below it are answered with 404.

    Args:
        prefix: The path, which begins with a slash.
        url: The URL of the server behind the proxy.
    """

    client = httpx.Client(base_url=url)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._forward()

        def do_POST(self) -> None:
            self._forward()

        def log_message(self, format: str, *arguments: object) -> None:
            """Write no log."""

        def _forward(self) -> None:
            if self.path != prefix and not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            headers = {name: self.headers[name] for name in _FORWARDED if name in self.headers}
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            path = self.path.removeprefix(prefix) or "/"
            answer = client.request(self.command, path, headers=headers, content=body)
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name not in ("connection", "date", "content-encoding", "content-length"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}{prefix}"
    finally:
        proxy.shutdown()
        proxy.server_close()
        client.close()
