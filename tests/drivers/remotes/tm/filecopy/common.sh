# Sourced by the scripts of both drivers.

REMOTES=$(cd "$(dirname "$0")/../.." && pwd)
VAR=${ONE_LOCATION:+$ONE_LOCATION/var}
VAR=${VAR:-/var/lib/one}
# shellcheck source=tests/drivers/remotes/etc/tm/filecopy/filecopyrc
. "$REMOTES/etc/tm/filecopy/filecopyrc"

# fail TEXT: ends the script with a message for people.
fail() {
    {
        echo "ERROR: $(basename "$0"): failed"
        echo "ERROR MESSAGE --8<------"
        echo "$1"
        echo "ERROR MESSAGE ------>8--"
    } >&2
    exit 1
}

# host_of NAME:PATH, path_of NAME:PATH
host_of() { printf '%s' "${1%%:*}"; }
path_of() { printf '%s' "${1#*:}"; }

# on HOST WORD..: runs a command on a host.
on() {
    local host=$1
    shift
    if [ -z "$REMOTE_SHELL" ]; then
        "$@"
    else
        "$REMOTE_SHELL" "$host" "$(printf '%q ' "$@")"
    fi
}

# call_note ARGUMENTS..: writes down how the script was called; standard input is kept in $INPUT.
call_note() {
    INPUT=$(cat)
    [ -n "$CALLS" ] || return 0
    local record
    mkdir -p "$VAR/$CALLS"
    record=$(mktemp -d "$VAR/$CALLS/$(date +%s%N).XXXXXX")
    printf '%s\n' "$@" >"$record/arguments"
    printf '%s' "$INPUT" >"$record/stdin"
    env >"$record/environment"
    printf '%s/%s\n' "$(basename "$(dirname "$(dirname "$0")")")" "$(basename "$0")" >"$record/script"
    RECORD=$record
}

# fault_look: waits while the operator has put a gate there, then fails when a file says so.
fault_look() {
    local fault
    while [ -e "$VAR/gate.$(basename "$0")" ]; do sleep 0.05; done
    fault=$VAR/fault.$(basename "$0")
    [ ! -e "$fault" ] || fail "$(cat "$fault")"
}
