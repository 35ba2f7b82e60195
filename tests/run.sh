#!/usr/bin/env bash
# The whole-system tests: real clients against the real binary. Arguments go to pytest.
# Environment: PLERION_BINARY (else target/debug/plerion), PLERION_XSD_DIR (schemas for test_xsd.py), PYTHON.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/venv.sh
. "$here/venv.sh"
venv_make "$here/../target/venv" "$here/requirements.txt"
binary=${PLERION_BINARY:-$here/../target/debug/plerion}
if [ ! -x "$binary" ]; then
    echo "$binary is missing: run 'cargo build --bin plerion', or set PLERION_BINARY" >&2
    exit 1
fi
cd "$here"
exec "$VENV_PYTHON" -m pytest "$@"
