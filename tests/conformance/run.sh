#!/usr/bin/env bash
# Makes the recorded calls again and compares the answers. CAPTURES=DIR names the directory with index.json and
# NNN-*.request.xml, NNN-*.response.xml; arguments go to conformance.py.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/venv.sh
. "$here/../venv.sh"
if [ ! -r "${CAPTURES:-}/index.json" ]; then
    echo "set CAPTURES to a directory of recorded calls (it holds index.json): make conformance CAPTURES=DIR" >&2
    exit 2
fi
captures=$(cd "$CAPTURES" && pwd)
venv_make "$here/../../target/venv" "$here/../requirements.txt"
cd "$here/.."
exec "$VENV_PYTHON" -m conformance.conformance --captures "$captures" "$@"
