#!/usr/bin/env bash
# Takes away what up.sh made: exactly what /var/lib/plerion-up/manifest lists,
# last things first. Packages stay unless PURGE_PACKAGES=1.
set -euo pipefail

UP_SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly UP_SOURCE
PATH=$PATH:/usr/local/bin:/usr/local/sbin:/usr/sbin:/sbin
# shellcheck source-path=SCRIPTDIR
. "$UP_SOURCE/lib.sh"
# Seconds for all VMs to be gone after terminate.
readonly TERMINATE_SECONDS=60
# A list of VMs longer than this is ended through libvirt.
readonly TERMINATE_MAX=500
messages_load

# undo KIND VALUE: 0 when the thing is gone.
undo() {
    case $1 in
        process) process_undo "$2" ;;
        unit) unit_undo "$2" ;;
        restart) ! systemd_runs || systemctl restart "$2" ;;
        cloud) cloud_undo ;;
        guests) guests_undo "$2" ;;
        bridge) [ ! -e "/sys/class/net/$2" ] || ip link delete "$2" ;;
        file) rm -f -- "$2" ;;
        marked) ! grep -qsxF "$BLOCK_BEGIN" "$2" || rm -f -- "$2" ;;
        link) [ ! -L "$2" ] || rm -f -- "$2" ;;
        dir) [ ! -d "$2" ] || rmdir --ignore-fail-on-non-empty -- "$2" ;;
        tree) tree_undo "$2" ;;
        mode) [ ! -e "${2#* }" ] || chmod "${2%% *}" "${2#* }" ;;
        owner) owner_undo "${2%% *}" "${2#* }" ;;
        block) block_undo "$2" ;;
        processes) processes_undo "$2" ;;
        user) user_undo "$2" ;;
        *) return 1 ;;
    esac
}

# process_undo "NAME PID START": only if the number still is that process.
process_undo() {
    local name pid started
    read -r name pid started <<<"$1"
    if [ -n "$started" ] && [ "$(process_start_time "$pid")" = "$started" ]; then
        process_stop "$pid"
    fi
}

unit_undo() {
    systemctl disable --now --quiet "$1" 2>/dev/null || true
    rm -f "/etc/systemd/system/$1"
    systemctl daemon-reload
}

# cloud_undo: VMs end the regular way, as long as the front-end answers.
cloud_undo() {
    local ids
    ids=$(as_user timeout 20 onevm list -x 2>/dev/null | xml_values VM_POOL/VM/ID | head -n "$TERMINATE_MAX" | paste -sd,) || {
        warn cloud_silent
        return 0
    }
    [ -n "$ids" ] || return 0
    as_user timeout "$TERMINATE_SECONDS" onevm terminate --hard "$ids" >/dev/null 2>&1 || true
    wait_until "$TERMINATE_SECONDS" vms_gone || warn vms_left "$ids"
}

vms_gone() {
    [ -z "$(as_user timeout 20 onevm list -x 2>/dev/null | xml_values VM_POOL/VM/ID)" ]
}

# guests_undo DIRECTORY: guests of libvirt whose disks lie there, and no others.
guests_undo() {
    local name names
    command -v virsh >/dev/null || return 0
    names=$(timeout 60 virsh -q -c qemu:///system list --all --name 2>/dev/null) || return 0
    for name in $names; do
        grep -qF "'$1/datastores/" <<<"$(timeout 60 virsh -q -c qemu:///system dumpxml "$name" 2>/dev/null)" || continue
        timeout 60 virsh -q -c qemu:///system destroy "$name" >/dev/null 2>&1 || true
        timeout 60 virsh -q -c qemu:///system undefine --nvram --managed-save --snapshots-metadata "$name" >/dev/null 2>&1 || true
    done
}

# tree_undo PATH: one of the trees that up.sh makes; nothing mounted in it is entered.
tree_undo() {
    case $1 in
        "$STATE_DIR" | "$LOG_DIR" | "$CONFIG_DIR" | "$LIBVIRT_RUNTIME") rm -rf --one-file-system -- "$1" ;;
        *) return 1 ;;
    esac
}

# owner_undo OWNER DIRECTORY: what belongs to our user goes back to its old one.
owner_undo() {
    [ -d "$2" ] && id -u "$RUN_USER" >/dev/null 2>&1 || return 0
    find "$2" -xdev -user "$RUN_USER" -exec chown -h "$1" {} +
}

block_undo() {
    local rest
    [ -f "$1" ] || return 0
    rest=$(mktemp)
    block_strip "$1" >"$rest"
    if [ ! -s "$rest" ] && [ ! -f "$UP_DIR/backup/${1//\//_}" ]; then
        rm -f "$1"
    else
        # Into the same file: its owner and mode stay.
        cat "$rest" >"$1"
    fi
    rm -f "$rest"
}

# user_processes UID: their numbers.
user_processes() {
    local path
    for path in /proc/[0-9]*; do
        if [ "$(stat -c %u "$path" 2>/dev/null)" = "$1" ] && ! process_gone "${path#/proc/}"; then
            echo "${path#/proc/}"
        fi
    done
}

processes_undo() {
    local uid pid
    uid=$(id -u "$1" 2>/dev/null) || return 0
    # A process may start another while it ends: a second look.
    for _ in 1 2 3; do
        for pid in $(user_processes "$uid"); do process_stop "$pid"; done
    done
    [ -z "$(user_processes "$uid")" ]
}

user_undo() {
    local uid path
    uid=$(id -u "$1" 2>/dev/null) || return 0
    for path in /tmp /var/tmp; do
        find "$path" -mindepth 1 -maxdepth 1 -xdev -uid "$uid" -exec rm -rf --one-file-system -- {} +
    done
    userdel "$1" || return 1
    if getent group "$1" >/dev/null; then groupdel "$1"; fi
}

packages_undo() {
    local packages
    packages=$(awk -F '\t' '$1 == "package" { print $2 }' "$MANIFEST" | sort -u)
    [ -n "$packages" ] || return 0
    if [ "${PURGE_PACKAGES-}" = 1 ]; then
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive apt-get -q -y purge $packages || return 1
        return 0
    fi
    say packages_kept "$(wc -w <<<"$packages")"
    # shellcheck disable=SC2086
    printf '%s ' $packages | fold -s -w 90 | sed 's/^/        /'
    printf '\n'
}

# manifest_reverse: last things first. A process started anew by a later run has
# the place of its first start: libvirtd must outlive the guests.
manifest_reverse() {
    awk -F '\t' '
        {
            key = $1 FS $2
            if ($1 == "process") { split($2, word, " "); key = $1 FS word[1] }
            if (!(key in rank)) rank[key] = NR
            printf "%d\t%d\t%s\n", rank[key], NR, $0
        }' "$MANIFEST" | sort -t $'\t' -k1,1nr -k2,2nr | cut -f 3-
}

root_require "sudo make down"
lock_hold "$0" "$@"
if [ ! -f "$MANIFEST" ]; then
    say nothing_here "$MANIFEST"
    exit 0
fi

kept=$(mktemp)
trap 'rm -f "$kept"' EXIT
while IFS=$'\t' read -r kind value how; do
    [ "$kind" != package ] || continue
    printf '      %-10s %s\n' "$kind" "$how"
    if ! undo "$kind" "$value"; then
        warn undo_failed "$kind" "$value" "$how"
        printf '%s\t%s\t%s\n' "$kind" "$value" "$how" >>"$kept"
    fi
done < <(manifest_reverse)
packages_undo || warn undo_failed package - "apt-get purge"

if [ -s "$kept" ]; then
    tac "$kept" >"$MANIFEST"
    die undo_incomplete "$MANIFEST"
fi
rm -rf --one-file-system "$UP_DIR"
say down_done
