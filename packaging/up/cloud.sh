# shellcheck shell=bash
# The first bridge, host, image, network and VM, by the public commands. To be sourced.

readonly CREATE_SECONDS=60
readonly MONITOR_SECONDS=90
readonly IMAGE_SECONDS=120
readonly RUNNING_SECONDS=180
readonly PING_SECONDS=300
readonly SSH_SECONDS=30
readonly NAME_IMAGE=plerion-guest NAME_NETWORK=plerion-net NAME_TEMPLATE=plerion-guest NAME_VM=first-vm
# Of hosts, images and VMs (STATE, LCM_STATE) as the API numbers them.
readonly HOST_MONITORED=2 HOST_ERROR=3 IMAGE_READY=1 IMAGE_USED=2 IMAGE_ERROR=5
readonly VM_SUSPENDED=5 VM_POWEROFF=8 VM_UNDEPLOYED=9 VM_RUNNING="3 3"
readonly GUEST_MEMORY_MIB=160

# one COMMAND...: a command of the command line, as oneadmin.
one() { as_user timeout "$CREATE_SECONDS" "$@"; }

# one_id COMMAND ROOT NAME: the id of the object of that name, or nothing.
one_id() {
    one "$1" show -x "$3" 2>/dev/null | xml_value "$2/ID" || true
}

# one_create COMMAND...: the id it prints.
one_create() {
    local answer
    answer=$(one "$@" 2>&1) || die command_failed "$*" "$answer"
    answer=$(sed -n 's/^.*ID: *\([0-9][0-9]*\).*$/\1/p' <<<"$answer" | head -n 1)
    [ -n "$answer" ] || die command_failed "$*" "$(text no_id)"
    echo "$answer"
}

bridge_make() {
    local address=$SUBNET.1/24
    manifest_add bridge "$BRIDGE" "ip link delete $BRIDGE"
    [ -n "$(setting_get subnet)" ] || { setting_put bridge "$BRIDGE"; setting_put subnet "$SUBNET"; }
    if systemd_runs; then
        unit_install plerion-bridge.service <<UNIT
[Unit]
Description=Bridge of Plerion's first network
Before=plerion.service
After=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-/usr/sbin/ip link add name $BRIDGE type bridge
ExecStart=/usr/sbin/ip address replace $address dev $BRIDGE
ExecStart=/usr/sbin/ip link set $BRIDGE up
[Install]
WantedBy=multi-user.target
UNIT
    else
        [ -e "/sys/class/net/$BRIDGE" ] || ip link add name "$BRIDGE" type bridge
        ip address replace "$address" dev "$BRIDGE"
        ip link set "$BRIDGE" up
    fi
    say bridge_is "$BRIDGE" "$address"
}

guest_image_build() {
    "$CHECKOUT/packaging/guest/build.sh" "$1" >"$UP_DIR/guest.log" 2>&1
}

guest_image_make() {
    local directory=$UP_DIR/guest stamp inputs
    manifest_add file "$GUEST_IMAGE" "rm -f $GUEST_IMAGE"
    stamp=$directory/inputs
    inputs=$(cd "$CHECKOUT/packaging/guest" && find build.sh rootfs -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
    if [ ! -f "$directory/guest.qcow2" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$inputs" ]; then
        mkdir -p "$directory"
        # Lists of packages that are missing or old are the one failure that can be helped.
        guest_image_build "$directory" || { apt_run update; guest_image_build "$directory"; } ||
            die guest_failed "$UP_DIR/guest.log" "$(tail -n 3 "$UP_DIR/guest.log")"
        echo "$inputs" >"$stamp"
    fi
    cmp -s "$directory/guest.qcow2" "$GUEST_IMAGE" || {
        install -m 0644 "$directory/guest.qcow2" "$GUEST_IMAGE.plerion-up"
        mv -f "$GUEST_IMAGE.plerion-up" "$GUEST_IMAGE"
    }
}

# hypervisor_choose: sets HYPERVISOR; a /dev/kvm that is there need not work.
hypervisor_choose() {
    local answer
    HYPERVISOR=qemu
    answer=$(as_user timeout "$PROBE_SECONDS" "$BINARY" node probe 2>&1) || { warn probe_failed "$answer"; return 0; }
    if kvm_usable_is <<<"$answer"; then
        HYPERVISOR=kvm
    else
        say kvm_unusable
    fi
}

host_add() {
    local id
    id=$(one_id onehost HOST "$HOST_NAME")
    if [ -z "$id" ]; then
        hypervisor_choose
        id=$(one_create onehost create "$HOST_NAME" -i kvm -v "$HYPERVISOR")
    fi
    wait_until "$MONITOR_SECONDS" host_monitored "$id" ||
        die host_not_monitored "$id" "$MONITOR_SECONDS" "$(one onehost show -x "$id" | xml_value HOST/TEMPLATE/ERROR)"
    say host_is "$id" "$HOST_NAME"
}

host_monitored() {
    case $(one onehost show -x "$1" | xml_value HOST/STATE) in
        "$HOST_MONITORED") return 0 ;;
        "$HOST_ERROR") return 2 ;;
        *) return 1 ;;
    esac
}

image_add() {
    local id
    id=$(one_id oneimage IMAGE "$NAME_IMAGE")
    [ -n "$id" ] || id=$(one_create oneimage create --name "$NAME_IMAGE" --path "$GUEST_IMAGE" --type OS \
        --prefix vd --format qcow2 -d 1)
    wait_until "$IMAGE_SECONDS" image_ready "$id" ||
        die image_not_ready "$id" "$IMAGE_SECONDS" "$(one oneimage show -x "$id" | xml_value IMAGE/TEMPLATE/ERROR)"
    say image_is "$id" "$NAME_IMAGE"
}

image_ready() {
    case $(one oneimage show -x "$1" | xml_value IMAGE/STATE) in
        "$IMAGE_READY" | "$IMAGE_USED") return 0 ;;
        "$IMAGE_ERROR") return 2 ;;
        *) return 1 ;;
    esac
}

# template_create COMMAND: creates the object whose template is on stdin.
template_create() {
    local file id
    file=$(as_user mktemp /tmp/plerion-up.XXXXXX)
    as_user tee "$file" >/dev/null
    id=$(one_create "$1" create "$file")
    as_user rm -f "$file"
    echo "$id"
}

network_add() {
    local id dns
    id=$(one_id onevnet VNET "$NAME_NETWORK")
    if [ -z "$id" ]; then
        # A server on a loopback address is of no use to a guest.
        dns=$(awk '$1 == "nameserver" && $2 !~ /^127\./ && $2 !~ /:/ { print $2; exit }' /etc/resolv.conf 2>/dev/null || true)
        id=$(template_create onevnet <<TEMPLATE
NAME = "$NAME_NETWORK"
VN_MAD = "bridge"
BRIDGE = "$BRIDGE"
NETWORK_ADDRESS = "$SUBNET.0"
NETWORK_MASK = "255.255.255.0"
GATEWAY = "$SUBNET.1"
${dns:+DNS = \"$dns\"}
AR = [ TYPE = "IP4", IP = "$SUBNET.100", SIZE = "100" ]
TEMPLATE
        )
    fi
    say network_is "$id" "$NAME_NETWORK" "$SUBNET.100 - $SUBNET.199"
}

# public_keys: of oneadmin, and of whoever runs this.
public_keys() {
    local home
    home=$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)
    # A quote in a key's comment would end the template's value.
    # shellcheck disable=SC1003
    { as_user cat .ssh/id_ed25519.pub; cat "$home"/.ssh/id_*.pub 2>/dev/null || true; } | tr -d '"\\'
}

vm_template_add() {
    local id
    id=$(one_id onetemplate VMTEMPLATE "$NAME_TEMPLATE")
    [ -n "$id" ] || id=$(template_create onetemplate <<TEMPLATE
NAME = "$NAME_TEMPLATE"
CPU = "0.5"
MEMORY = "$GUEST_MEMORY_MIB"
AUTOSTART = "yes"
DISK = [ IMAGE = "$NAME_IMAGE" ]
NIC = [ NETWORK = "$NAME_NETWORK" ]
GRAPHICS = [ TYPE = "VNC", LISTEN = "127.0.0.1" ]
RAW = [ TYPE = "kvm", DATA = "<devices><serial type='pty'/><console type='pty'/></devices>" ]
CONTEXT = [ NETWORK = "YES", SET_HOSTNAME = "\$NAME", SSH_PUBLIC_KEY = "$(public_keys)" ]
TEMPLATE
    )
    say template_is "$id" "$NAME_TEMPLATE"
}

vm_start() {
    VM_ID=$(one_id onevm VM "$NAME_VM")
    if [ -z "$VM_ID" ]; then
        VM_ID=$(one_create onetemplate instantiate "$NAME_TEMPLATE" --name "$NAME_VM")
    fi
    wait_until "$RUNNING_SECONDS" vm_runs || vm_fail vm_not_running "$VM_ID" "$RUNNING_SECONDS" "$(vm_state)"
    say vm_is "$VM_ID" "$NAME_VM"
}

# vm_state: STATE and LCM_STATE.
vm_state() {
    local xml
    xml=$(one onevm show -x "$VM_ID")
    echo "$(xml_value VM/STATE <<<"$xml") $(xml_value VM/LCM_STATE <<<"$xml")"
}

# vm_runs: a VM that was stopped, or whose host was restarted, is started again.
vm_runs() {
    local state
    state=$(vm_state)
    case ${state% *} in
        "$VM_SUSPENDED" | "$VM_POWEROFF" | "$VM_UNDEPLOYED") one onevm resume "$VM_ID" >/dev/null ;;
    esac
    [ "$state" = "$VM_RUNNING" ]
}

# vm_answers: after a restart of the host it takes the front-end a while to see that
# the VM has ended; so its state is looked at as long as there is no answer.
vm_answers() {
    ping -q -c 1 -W 1 "$VM_IP" >/dev/null && return 0
    vm_runs || true
    return 1
}

vm_fail() {
    [ ! -s "$LOG_DIR/$VM_ID.log" ] || tail -n 15 "$LOG_DIR/$VM_ID.log" >&2
    one onevm show "$VM_ID" 2>/dev/null | grep -E 'ERROR|SCHED_MESSAGE' >&2 || true
    die "$@"
}

vm_ping() {
    VM_IP=$(one onevm show -x "$VM_ID" | xml_value VM/TEMPLATE/NIC/IP)
    [ -n "$VM_IP" ] || vm_fail vm_no_address "$VM_ID"
    wait_until "$PING_SECONDS" vm_answers || vm_fail vm_no_answer "$VM_ID" "$VM_IP" "$PING_SECONDS"
    say vm_answers "$VM_IP"
    VM_SSH=no
    if wait_until "$SSH_SECONDS" vm_ssh; then
        VM_SSH=yes
        say vm_ssh_works "$VM_IP"
    fi
}

vm_ssh() {
    as_user timeout 10 ssh -q -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
        -o ConnectTimeout=5 "root@$VM_IP" true </dev/null >/dev/null 2>&1
}

summary_print() {
    local line
    step_end
    printf '\n%s\n' "$(text summary_times)"
    for line in "${STEP_TIMES[@]}"; do
        printf '  %7s s  %s\n' "${line%%$'\t'*}" "${line#*$'\t'}"
    done
    printf '\n%s\n' "$(text summary_done "$NAME_VM" "$VM_IP")"
    printf '\n%s\n' "$(text summary_next)"
    printf '  %-58s %s\n' "sudo -iu $RUN_USER onevm list" "$(text next_list)" \
        "sudo -iu $RUN_USER onevm show $VM_ID" "$(text next_show)"
    [ "$VM_SSH" != yes ] || printf '  %-58s %s\n' "sudo -iu $RUN_USER ssh root@$VM_IP" "$(text next_ssh)"
    printf '  %-58s %s\n' "sudo virsh -c qemu:///system console one-$VM_ID" "$(text next_console)" \
        "sudo -iu $RUN_USER onevm poweroff $VM_ID" "$(text next_poweroff)" \
        "sudo -iu $RUN_USER onetemplate instantiate $NAME_TEMPLATE" "$(text next_instantiate)" \
        "sudo make down" "$(text next_down)"
}
