#!/usr/bin/env bash
# Build the environment that PySyft 0.2.9 was published for. Usage: original.sh PYTHON37 DIR
set -euo pipefail
unset PYTHONPATH  # pip would mind what else is there
"$1" -m venv "$2"
pip="$2/bin/pip --disable-pip-version-check --quiet"
$pip install --upgrade 'pip<24' wheel
$pip install --no-deps 'syft==0.2.9'
$pip install --requirement "$(dirname "$0")/original.txt"
# aiortc (WebRTC) no longer builds and nothing here uses it: an empty stand-in lets PySyft be imported.
site=$("$2/bin/python" -c 'import site; print(site.getsitepackages()[0])')
mkdir -p "$site/aiortc/contrib"
echo 'RTCPeerConnection = RTCSessionDescription = None' > "$site/aiortc/__init__.py"
: > "$site/aiortc/contrib/__init__.py"
echo 'CopyAndPasteSignaling = object_to_string = object_from_string = None' > "$site/aiortc/contrib/signaling.py"
"$2/bin/python" -W ignore -c 'import syft'
