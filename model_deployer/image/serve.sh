#!/bin/sh
# The entry point of a container. Without an argument, or with options of `bentoml serve`, it serves the model on port
# 3000; with the argument `serve`, which SageMaker passes, on port 8080. The variables PORT, AIP_HTTP_PORT (Vertex AI) and
# SAGEMAKER_BIND_TO_PORT set another port; the first one that is set counts. Any other argument is a command to run instead.
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
