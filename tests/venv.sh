# shellcheck shell=bash
# Sourced by the runners: a virtual environment, made once per content of the requirements file.

# venv_make DIRECTORY REQUIREMENTS: sets VENV_PYTHON.
venv_make() {
    local directory=$1 requirements=$2 stamp wanted
    stamp=$directory/.requirements.sha256
    wanted=$(sha256sum <"$requirements")
    if [ ! -x "$directory/bin/python" ]; then
        "${PYTHON:-python3}" -m venv "$directory"
    fi
    if [ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ]; then
        "$directory/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
        printf '%s\n' "$wanted" >"$stamp"
    fi
    # shellcheck disable=SC2034  # for the caller
    VENV_PYTHON=$directory/bin/python
}
