#!/bin/sh
# Resolves pyproject.toml into exact versions: lock.txt for development, serve.txt for a Bento. Run by `make lock`.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

freeze() { # freeze OUTPUT HEADER REQUIREMENT...
    output=$1 header=$2
    shift 2
    "$PYTHON" -m venv "$work/env"
    "$work/env/bin/pip" install --quiet --upgrade pip
    "$work/env/bin/pip" install --quiet -c requirements/torch-cpu.txt "$@"
    { echo "# $header Written by \`make lock\`."
      "$work/env/bin/pip" freeze --exclude-editable | grep -v -i -E '^(torch|nvidia-[cn]|triton|model-deployer)'; } > "$output"
    rm -rf "$work/env"
}

freeze "$work/lock.txt" "Exact versions for development and training; torch stands in torch-cpu.txt." -e '.[train,images,sql,remote,handoff,signing,examples,bench,dev,docs]'
freeze "$work/serve.txt" "Exact versions of what a Bento installs: the base package, no torch." -c "$work/lock.txt" -e .
mv "$work/lock.txt" "$work/serve.txt" requirements/
