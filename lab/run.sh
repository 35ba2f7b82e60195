#!/usr/bin/env bash
# The lab's tests: a real cluster on this machine. Needs root. Arguments go to pytest.
# Environment: PLERION_BINARY (else target/debug/plerion), LAB_KILLS (how often a guest is killed; 50),
# LAB_FRONT_END_KILLS (how often the front-end is; 200), LAB_BOOTS (boots that are measured; 20), PYTHON.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/venv.sh
. "$here/../tests/venv.sh"
venv_make "$here/../target/venv" "$here/../tests/requirements.txt"
cd "$here"
exec "$VENV_PYTHON" -m pytest "$@"
