#!/usr/bin/env bash
# Which checks can be deleted without a test that goes red. Arguments go to run.py.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/venv.sh
. "$here/../venv.sh"
mkdir -p "$here/../../target/mutants"
venv_make "$here/../../target/mutants/venv" "$here/requirements.txt"
exec "$VENV_PYTHON" "$here/run.py" "$@"
