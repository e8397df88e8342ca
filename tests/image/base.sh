#!/bin/sh
# base.sh TAG: build a replacement for python:X.Y-slim from Debian packages, without a registry.
# Its Python is that of this machine's release of Debian. Needs root, mmdebstrap and podman.
set -eu
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u |
    mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-venv,usr-is-merged \
        --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
        --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --customize-hook='ln -s python3 "$1/usr/bin/python"' \
        --customize-hook='cd "$1" && rm -rf var/lib/apt/lists/* var/log/* etc/apt/sources.list etc/resolv.conf etc/hostname' \
        "$release" - - |
    podman import - "$1"
