# shellcheck shell=bash disable=SC2034
# What up.sh and down.sh share: messages, the manifest, waiting. To be sourced.

UP_DIR=/var/lib/plerion-up
MANIFEST=$UP_DIR/manifest
SETTINGS=$UP_DIR/settings
LOCK=/run/lock/plerion-up.lock
LOCK_BUSY=75
STATE_DIR=/var/lib/one
LOG_DIR=/var/log/one
CONFIG_DIR=/etc/one
LIBVIRT_RUNTIME=/run/libvirt
RUN_USER=oneadmin
API_PORT=2633
BINARY=/usr/local/bin/plerion
ROOT_HELPER=/usr/local/sbin/plerion-node-root
GUEST_IMAGE=/var/tmp/plerion-guest.qcow2
# Lines between these belong to us, in files that belong to others.
BLOCK_BEGIN='# BEGIN plerion-up (make down removes this block)'
BLOCK_END='# END plerion-up'
# Seconds a process gets to end by itself.
STOP_SECONDS=20
# Seconds between two looks at something waited for.
POLL_SECONDS=0.3
readonly UP_DIR MANIFEST SETTINGS LOCK LOCK_BUSY STATE_DIR LOG_DIR CONFIG_DIR LIBVIRT_RUNTIME RUN_USER API_PORT BINARY ROOT_HELPER GUEST_IMAGE
readonly BLOCK_BEGIN BLOCK_END STOP_SECONDS POLL_SECONDS

declare -A MESSAGES=()

# messages_load: the texts of the language that the locale asks for.
messages_load() {
    local key en zh locale=${LC_ALL:-${LC_MESSAGES:-${LANG-}}}
    while IFS=$'\t' read -r key en zh; do
        case $key in
            '' | \#*) continue ;;
        esac
        case $locale in
            zh*) MESSAGES[$key]=${zh:-$en} ;;
            *) MESSAGES[$key]=$en ;;
        esac
    done <"$UP_SOURCE/messages.tsv"
}

# text KEY ARGUMENT...: the message, without a newline.
text() {
    local key=$1
    shift
    # The formats are ours, from messages.tsv.
    # shellcheck disable=SC2059
    printf "${MESSAGES[$key]?unknown message $key}" "$@"
}

say() { printf '      %s\n' "$(text "$@")"; }
warn() { printf '  !   %s\n' "$(text "$@")" >&2; }

die() {
    printf '\n%s %s\n' "$(text failed)" "$(text "$@")" >&2
    exit 1
}

# step KEY ARGUMENT...: begins a step; its time is printed when the next begins.
STEP_NUMBER=0
STEP_STARTED=
STEP_TIMES=()
step() {
    step_end
    STEP_NUMBER=$((STEP_NUMBER + 1))
    STEP_NAME=$(text "$@")
    STEP_STARTED=$EPOCHREALTIME
    printf '[%2d]  %s\n' "$STEP_NUMBER" "$STEP_NAME"
}

step_end() {
    local took
    [ -n "$STEP_STARTED" ] || return 0
    took=$(seconds_since "$STEP_STARTED")
    STEP_TIMES+=("$took"$'\t'"$STEP_NAME")
    printf '      %s\n' "$(text step_took "$took")"
    STEP_STARTED=
}

# seconds_since EPOCHREALTIME: with one decimal.
seconds_since() {
    local now=${EPOCHREALTIME//[.,]/} then=${1//[.,]/}
    local tenths=$(((now - then) / 100000))
    printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

root_require() {
    [ "$(id -u)" -eq 0 ] || die not_root "$1"
}

# lock_hold SCRIPT ARGUMENT...: one run at a time. The lock is held by a parent
# process, so that no daemon started on the way inherits it.
lock_hold() {
    local script=$1 status=0
    shift
    [ -z "${PLERION_UP_LOCKED-}" ] || return 0
    PLERION_UP_LOCKED=1 flock -n -o -E "$LOCK_BUSY" "$LOCK" "$script" "$@" || status=$?
    [ "$status" -ne "$LOCK_BUSY" ] || die already_running "$LOCK"
    exit "$status"
}

systemd_runs() { [ -d /run/systemd/system ]; }

# wait_until SECONDS COMMAND...: 0 as soon as the command succeeds, 1 after
# that time. A command that returns 2 ends the wait at once: it cannot come true.
wait_until() {
    local deadline=$((SECONDS + $1)) status
    shift
    while :; do
        status=0
        "$@" || status=$?
        [ "$status" -ne 0 ] || return 0
        [ "$status" -ne 2 ] || return 2
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep "$POLL_SECONDS"
    done
}

# manifest_add KIND VALUE UNDO: to be called before the thing is made.
manifest_add() {
    if ! manifest_has "$1" "$2"; then
        printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$MANIFEST"
        sync "$MANIFEST"
    fi
}

# Without a pipe: grep ends at the first match, and cut would be killed for writing on, which counts as "no".
manifest_has() {
    [ -f "$MANIFEST" ] && grep -qxF "$1"$'\t'"$2" <<<"$(cut -f 1,2 "$MANIFEST")"
}

# setting_get NAME, setting_put NAME VALUE: what a second run must know of the first.
setting_get() {
    [ ! -f "$SETTINGS" ] || sed -n "s/^$1=//p" "$SETTINGS" | tail -n 1
}

setting_put() {
    printf '%s=%s\n' "$1" "$2" >>"$SETTINGS"
}

# ours PATH: it does not exist, or the manifest has it.
ours() {
    { [ ! -e "$1" ] && [ ! -L "$1" ]; } || manifest_has file "$1" || manifest_has tree "$1" || manifest_has link "$1"
}

# file_write PATH MODE: from stdin, replacing the whole file at once.
file_write() {
    local temporary=$1.plerion-up
    manifest_add file "$1" "rm -f $1"
    cat >"$temporary"
    chmod "$2" "$temporary"
    mv -f "$temporary" "$1"
}

# block_write FILE: puts stdin, marked, at the head of FILE; the rest stays.
block_write() {
    local file=$1 backup rest
    backup=$UP_DIR/backup/${file//\//_}
    rest=$(mktemp)
    if [ -f "$file" ]; then
        block_strip "$file" >"$rest"
        if [ ! -f "$backup" ]; then
            mkdir -p "$UP_DIR/backup"
            cp -p "$file" "$backup"
        fi
    fi
    manifest_add block "$file" "remove the marked block from $file (as it was: $backup)"
    {
        printf '%s\n' "$BLOCK_BEGIN"
        cat
        printf '%s\n' "$BLOCK_END"
        cat "$rest"
    } >"$file.plerion-up"
    rm -f "$rest"
    if [ -f "$file" ]; then
        chmod --reference="$file" "$file.plerion-up"
        chown --reference="$file" "$file.plerion-up"
    fi
    mv -f "$file.plerion-up" "$file"
}

# block_strip FILE: its lines without our block.
block_strip() {
    awk -v begin="$BLOCK_BEGIN" -v end="$BLOCK_END" '
        $0 == begin { inside = 1; next }
        $0 == end { inside = 0; next }
        !inside' "$1"
}

# process_start_time PID: changes when the number is used again. Nothing if it is
# not there, or has ended and waits to be collected.
process_start_time() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    # The name in parentheses may hold blanks; the time is 20 fields behind it.
    stat=${stat##*) }
    [[ $stat != Z* ]] || return 0
    # shellcheck disable=SC2086
    set -- $stat
    echo "${20}"
}

# process_record NAME PID: a process that make down has to end.
process_record() {
    manifest_add process "$1 $2 $(process_start_time "$2")" "kill $2 ($1)"
}

# process_find NAME: the process of that name that we started and that lives.
process_find() {
    local kind value name pid started
    [ -f "$MANIFEST" ] || return 1
    while IFS=$'\t' read -r kind value _; do
        [ "$kind" = process ] || continue
        read -r name pid started <<<"$value"
        if [ "$name" = "$1" ] && [ -n "$started" ] && [ "$(process_start_time "$pid")" = "$started" ]; then
            echo "$pid"
            return 0
        fi
    done <"$MANIFEST"
    return 1
}

# pids_here NAME: processes of that name, without those inside containers.
pids_here() {
    local pid here
    here=$(readlink /proc/self/ns/mnt)
    for pid in $(pidof "$1" || true); do
        if [ "$(readlink "/proc/$pid/ns/mnt" 2>/dev/null)" = "$here" ]; then echo "$pid"; fi
    done
}

# process_stop PID: asks it to end, then makes it end.
process_stop() {
    kill -TERM "$1" 2>/dev/null || return 0
    wait_until "$STOP_SECONDS" process_gone "$1" || kill -KILL "$1" 2>/dev/null || true
}

# process_gone PID: ended, even if nobody has collected it yet.
process_gone() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    [[ ${stat##*) } == Z* ]]
}

# as_user COMMAND...: as oneadmin, with a clean environment, from its home.
as_user() {
    (cd "$STATE_DIR" && exec setpriv --reuid="$RUN_USER" --regid="$RUN_USER" --init-groups \
        env -i HOME="$STATE_DIR" USER="$RUN_USER" LOGNAME="$RUN_USER" SHELL=/bin/bash LANG=C.UTF-8 \
        PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin "$@")
}

# xml_values PATH: the text of each element at PATH (A/B/C) of the XML on stdin.
xml_values() {
    awk -v wanted="$1" '
        BEGIN { RS = "<" }
        cdata != "" || /^!\[CDATA\[/ {
            cdata = cdata (cdata == "" ? "" : "<") $0
            end = index(cdata, "]]>")
            if (end) {
                value = value substr(cdata, 9, end - 9)
                cdata = ""
            }
            next
        }
        /^[?!]/ || NR == 1 { next }
        /^\// {
            if (path == wanted) print value
            sub(/\/?[^\/]*$/, "", path)
            value = ""
            next
        }
        {
            close_at = index($0, ">")
            tag = substr($0, 1, close_at - 1)
            value = substr($0, close_at + 1)
            empty = tag ~ /\/$/
            sub(/[ \t\n\/].*$/, "", tag)
            if (empty) {
                if ((path == "" ? tag : path "/" tag) == wanted) print ""
            } else {
                path = path == "" ? tag : path "/" tag
            }
        }'
}

# xml_value PATH: the first of them.
xml_value() {
    xml_values "$1" | sed -n 1p
}
