#!/bin/sh
# How a container starts. Without an argument, or with options of `bentoml serve`, the model is served on port 3000; with
# `serve`, as SageMaker asks, on port 8080. Platforms name the port in variables of their own; the first that is set counts.
# Any other argument is a command, which runs instead.
set -eu
port=3000
case "${1:-}" in
    serve) port=8080; shift ;;
    "" | -*) ;;
    *) exec "$@" ;;
esac
port=${PORT:-${AIP_HTTP_PORT:-${SAGEMAKER_BIND_TO_PORT:-$port}}}
echo "$port" > /tmp/port # for the health check
exec bentoml serve /bento --port "$port" "$@"
