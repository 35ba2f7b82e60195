#!/usr/bin/env bash
# The lab's tests: a real cluster on this machine. Needs root. Arguments go to pytest.
# Environment: PLERION_BINARY (else target/debug/plerion), LAB_KILLS (how often a guest is killed; 10), PYTHON.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/venv.sh
. "$here/../tests/venv.sh"
venv_make "$here/../target/venv" "$here/../tests/requirements.txt"
cd "$here"
exec "$VENV_PYTHON" -m pytest "$@"
