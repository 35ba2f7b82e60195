#!/usr/bin/env bash
# The lab's tests: real clusters on this machine. Needs root. Arguments go to pytest. LAB_PARTS=2 runs the files on two
# clusters at once, for machines with more than two cores.
# Environment: PLERION_BINARY (else target/debug/plerion), LAB_KILLS (how often a guest is killed; 50),
# LAB_FRONT_END_KILLS (how often the front-end is; 200), LAB_BOOTS (boots that are measured; 20),
# LAB_ACTIONS (how often measure_actions.py does each action; 5), PYTHON.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/venv.sh
. "$here/../tests/venv.sh"
venv_make "$here/../target/venv" "$here/../tests/requirements.txt"
cd "$here"
[ "${LAB_PARTS:-1}" -le 1 ] || set -- -n "$LAB_PARTS" --dist loadfile --no-loadscope-reorder "$@"
exec "$VENV_PYTHON" -m pytest "$@"
