# shellcheck shell=bash
# Sourced by the runners: a virtual environment, made once per content of the requirements file.

# venv_make DIRECTORY REQUIREMENTS: sets VENV_PYTHON. One that was not finished is made anew; of two runners at once the
# second waits.
venv_make() {
    local directory=$1 requirements=$2 stamp wanted lock
    stamp=$directory/.requirements.sha256
    wanted=$(sha256sum <"$requirements")
    mkdir -p "$(dirname "$directory")"
    exec {lock}>"$directory.lock"
    flock "$lock"
    if [ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ]; then
        "${PYTHON:-python3}" -m venv --clear "$directory"
        "$directory/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
        printf '%s\n' "$wanted" >"$stamp"
    fi
    exec {lock}>&-
    # shellcheck disable=SC2034  # for the caller
    VENV_PYTHON=$directory/bin/python
}
