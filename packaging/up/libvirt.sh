# shellcheck shell=bash
# libvirt's settings and daemon. To be sourced.

readonly LIBVIRT_SECONDS=60
readonly PROBE_SECONDS=60

apparmor_enabled() {
    [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" = Y ] && [ -d /etc/apparmor.d/abstractions ]
}

virtlogd_runs() {
    if systemd_runs; then
        systemctl -q is-enabled virtlogd.socket 2>/dev/null || systemctl -q is-active virtlogd.socket 2>/dev/null
    else
        [ -n "$(pids_here virtlogd)" ]
    fi
}

# libvirt_configure: guests run as oneadmin, who owns their disks.
libvirt_configure() {
    local conf=/etc/libvirt/qemu.conf before after unit directory owner
    if systemd_runs; then
        # Before the settings, so that it is undone after them.
        unit=$(libvirt_unit)
        manifest_add restart "$unit" "systemctl restart $unit, with its old settings"
    fi
    # libvirt gives these to the user of its guests when it starts.
    for directory in /var/lib/libvirt/qemu /var/cache/libvirt/qemu; do
        [ -d "$directory" ] || continue
        owner=$(stat -c %U:%G "$directory")
        [ "$owner" = "$RUN_USER:$RUN_USER" ] ||
            manifest_add owner "$owner $directory" "chown $owner what $RUN_USER owns in $directory"
    done
    before=$(cat "$conf" 2>/dev/null || true)
    {
        printf 'user = "%s"\ngroup = "%s"\ndynamic_ownership = 0\n' "$RUN_USER" "$RUN_USER"
        virtlogd_runs || printf 'stdio_handler = "file"\n'
        apparmor_enabled || printf 'security_driver = "none"\n'
    } | block_write "$conf"
    after=$(cat "$conf")
    # libvirt takes the first of two lines with the same name, so ours hold.
    if grep -qE '^[[:space:]]*(user|group|dynamic_ownership|stdio_handler|security_driver)[[:space:]]*=' <<<"$(block_strip "$conf")"; then
        warn libvirt_overridden "$conf"
    fi
    ! apparmor_enabled || apparmor_configure
    LIBVIRT_CHANGED=no
    [ "$before" = "$after" ] || LIBVIRT_CHANGED=yes
}

# apparmor_configure: libvirt writes a profile for each guest; these two lines
# let it, and the guests, reach the datastores.
apparmor_configure() {
    local directory=/etc/apparmor.d/local
    mkdir -p "$directory/abstractions"
    echo "$STATE_DIR/datastores/** r," | block_write "$directory/usr.lib.libvirt.virt-aa-helper"
    echo "$STATE_DIR/datastores/** rwk," | block_write "$directory/abstractions/libvirt-qemu"
    if [ -f /etc/apparmor.d/usr.lib.libvirt.virt-aa-helper ]; then
        apparmor_parser -r /etc/apparmor.d/usr.lib.libvirt.virt-aa-helper || warn apparmor_failed
    fi
}

machine_id_ensure() {
    [ ! -s /etc/machine-id ] || return 0
    manifest_add file /etc/machine-id "rm -f /etc/machine-id"
    tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
    chmod 0444 /etc/machine-id
}

libvirt_unit() {
    local unit
    for unit in libvirtd virtqemud; do
        if systemctl cat "$unit.service" >/dev/null 2>&1; then
            echo "$unit.service"
            return 0
        fi
    done
    die libvirt_no_unit
}

libvirt_start() {
    machine_id_ensure
    if systemd_runs; then
        local unit
        unit=$(libvirt_unit)
        systemctl enable --quiet "$unit"
        if [ "$LIBVIRT_CHANGED" = yes ]; then systemctl restart "$unit"; else systemctl start "$unit"; fi
    else
        libvirtd_by_hand
    fi
    wait_until "$LIBVIRT_SECONDS" libvirt_answers || die libvirt_silent "$RUN_USER" "$(as_user virsh -c qemu:///system version 2>&1 | head -n 3)"
}

libvirt_answers() {
    as_user timeout 20 virsh -q -c qemu:///system version >/dev/null 2>&1
}

# runtime_directory_open: libvirtd itself makes it for root only; systemd would not.
runtime_directory_open() {
    local mode
    if [ ! -d "$LIBVIRT_RUNTIME" ]; then
        manifest_add tree "$LIBVIRT_RUNTIME" "rm -rf $LIBVIRT_RUNTIME"
        install -d -m 0755 "$LIBVIRT_RUNTIME"
        return 0
    fi
    mode=$(stat -c %a "$LIBVIRT_RUNTIME")
    [ "$mode" = 755 ] && return 0
    manifest_add mode "$mode $LIBVIRT_RUNTIME" "chmod $mode $LIBVIRT_RUNTIME"
    chmod 755 "$LIBVIRT_RUNTIME"
}

# kvm_hide_choose: sets KVM_HIDE to what runs libvirtd without a /dev/kvm that is
# there but of no use. See kvm_hide.sh.
kvm_hide_choose() {
    local scratch=$UP_DIR/dev
    KVM_HIDE=()
    [ -e /dev/kvm ] || return 0
    if timeout "$PROBE_SECONDS" "$BINARY" node probe --state-dir "$UP_DIR/probe" 2>/dev/null | kvm_usable_is; then
        return 0
    fi
    mkdir -p "$scratch"
    KVM_HIDE=(unshare --mount --propagation slave "$UP_SOURCE/kvm_hide.sh" "$scratch")
    # Not every container may mount; then libvirt is slow, but works.
    if "${KVM_HIDE[@]}" true 2>>"$UP_DIR/libvirtd.log"; then
        say kvm_hidden
    else
        warn kvm_not_hidden "$UP_DIR/libvirtd.log"
        KVM_HIDE=()
    fi
}

# kvm_usable_is: reads what "plerion node probe" prints.
kvm_usable_is() {
    grep -qE '"kvm_usable" *: *true'
}

libvirtd_by_hand() {
    local config=$UP_DIR/libvirtd.conf pid
    runtime_directory_open
    cat >"$config" <<'CONFIG'
listen_tls = 0
listen_tcp = 0
unix_sock_group = "libvirt"
unix_sock_rw_perms = "0770"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid_source = "machine-id"
CONFIG
    pid=$(process_find libvirtd || true)
    if [ -n "$pid" ]; then
        [ "$LIBVIRT_CHANGED" = yes ] || return 0
        process_stop "$pid"
    fi
    kvm_hide_choose
    setsid "${KVM_HIDE[@]}" "$UP_SOURCE/reaper.pl" /usr/sbin/libvirtd -f "$config" -p /run/libvirtd.pid \
        </dev/null >>"$UP_DIR/libvirtd.log" 2>&1 &
    process_record libvirtd $!
}
