#!/usr/bin/env bash
# Sets a fresh Debian 12/13 or Ubuntu machine up as a cloud of one host, with a
# VM that answers. May be run again: each step looks first. What it makes is
# listed in /var/lib/plerion-up/manifest and taken away by down.sh.
#
#   up.sh [--until STEP]   STEP: checks packages build user libvirt frontend cloud
#
# Environment:
#   ONE_BRIDGE       name of the bridge (default onebr0)
#   ONE_SUBNET       its network, A.B.C.0/24 (default 192.168.150.0/24, or another free one)
#   PLERION_BINARY   a plerion built already; nothing is compiled
set -euo pipefail

UP_SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CHECKOUT=$(cd "$UP_SOURCE/../.." && pwd)
readonly UP_SOURCE CHECKOUT
umask 022
PATH=$PATH:/usr/local/bin:/usr/local/sbin:/usr/sbin:/sbin
# shellcheck source-path=SCRIPTDIR
. "$UP_SOURCE/lib.sh"
# shellcheck source-path=SCRIPTDIR
. "$UP_SOURCE/checks.sh"
# shellcheck source-path=SCRIPTDIR
. "$UP_SOURCE/system.sh"
# shellcheck source-path=SCRIPTDIR
. "$UP_SOURCE/libvirt.sh"
# shellcheck source-path=SCRIPTDIR
. "$UP_SOURCE/frontend.sh"
# shellcheck source-path=SCRIPTDIR
. "$UP_SOURCE/cloud.sh"
messages_load

until=cloud
case ${1-} in
    '') ;;
    --until) until=${2?STEP is missing} ;;
    *) die usage_up "$0" ;;
esac
[[ " checks packages build user libvirt frontend cloud " == *" $until "* ]] || die usage_up "$0"

# stage NAME: ends the run here when this was the last stage wanted.
stage_done() {
    [ "$until" = "$1" ] || return 0
    step_end
    exit 0
}

root_require "sudo make up"
lock_hold "$0" "$@"
step step_checks
checks_run
stage_done checks

install -d -m 0755 "$UP_DIR"
touch "$MANIFEST"

step step_packages
packages_install
stage_done packages

step step_build
binary_build
stage_done build

step step_user "$RUN_USER"
user_make
user_key_make
root_helper_install
sshd_ensure
host_name_choose
stage_done user

step step_libvirt
libvirt_configure
libvirt_start
stage_done libvirt

step step_bridge
bridge_make
step step_frontend
frontend_start
stage_done frontend

step step_guest
guest_image_make
step step_host
host_add
step step_image
image_add
step step_network
network_add
step step_template
vm_template_add
step step_vm
vm_start
step step_ping
vm_ping
summary_print
