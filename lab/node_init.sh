#!/usr/bin/env bash
# First process of a lab node, in namespaces of its own: makes the node's root out of an overlay of the machine's, then
# its user, its daemons, and collects orphans until it is killed. Nothing done here is seen outside of the node.
#
# Talks with its parent: writes "mounted" once the namespaces exist, reads a line once the links are in place, writes
# "ready" when the node can be used.
#
# Environment, all set by node.py:
#   NODE NODE_ROLE          its name; front-end or host
#   NODE_DIR                directory on a real file system for this node alone: config/ home/ var-tmp/ layer/
#   NODE_BINARY             the plerion binary
#   NODE_SHARED             "SOURCE TARGET" lines: directories to be seen at TARGET
#   NODE_CGROUPS            controllers of version 1, or "unified"
#   NODE_USER NODE_UID
#   NODE_ADDRESS            of eth0, with prefix length
#   NODE_TRUNK_ADDRESS      of eth1, or nothing
set -euo pipefail
umask 022
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
readonly LIBVIRT_TRIES=200
readonly LIBVIRT_PAUSE=0.1
readonly HOME_DIR=/var/lib/one
readonly CONFIG_DIR=/run/lab

fail() {
    printf 'node %s: %s\n' "$NODE" "$*" >&2
    exit 1
}

# The upper layer of an overlay must not lie inside its lower one, hence the tmpfs.
root_mount() {
    # shellcheck disable=SC2153
    local layer=$NODE_DIR/layer
    mount --make-rprivate /
    mount -t tmpfs -o mode=755 node "$layer"
    mkdir "$layer"/{upper,work,root,dev-upper,dev-work}
    mount -t overlay -o "lowerdir=/,upperdir=$layer/upper,workdir=$layer/work" node "$layer/root"
    cd "$layer/root"
    mount -t proc proc proc
    mount -t sysfs sysfs sys
    mount -t tmpfs -o mode=755 run run
    mount -t tmpfs -o mode=1777 tmp tmp
    # Without kvm: libvirt must find it absent, as one that is there but useless makes each of its calls slow.
    mount -t overlay -o "lowerdir=/dev,upperdir=$layer/dev-upper,workdir=$layer/dev-work" dev dev
    rm -f dev/kvm
    mount -t devpts -o newinstance,gid=5,mode=620,ptmxmode=666 devpts dev/pts
    mount -t tmpfs -o mode=1777 shm dev/shm
    mount --bind "$NODE_DIR/config/boot_id" proc/sys/kernel/random/boot_id
}

# directory_bind SOURCE TARGET: what belongs to the machine at TARGET is out of sight.
directory_bind() {
    mkdir -p ".$2"
    mount --bind "$1" ".$2"
}

directories_mount() {
    local source target
    directory_bind "$NODE_DIR/config" "$CONFIG_DIR"
    directory_bind "$NODE_DIR/home" "$HOME_DIR"
    directory_bind "$NODE_DIR/var-tmp" /var/tmp
    while read -r source target; do
        [ -n "$source" ] || continue
        directory_bind "$source" "$target"
    done <<<"$NODE_SHARED"
    program_bind /usr/local/bin/plerion
    program_bind /usr/local/sbin/plerion-node-root
}

program_bind() {
    rm -f ".$1"
    mkdir -p ".$(dirname "$1")"
    : >".$1"
    mount --bind "$NODE_BINARY" ".$1"
}

# A control group file system shows the part below the group of the process that mounts it.
cgroups_mount() {
    local controller
    if [ "$NODE_CGROUPS" = unified ]; then
        mount -t cgroup2 cgroup2 sys/fs/cgroup
        return
    fi
    mount -t tmpfs -o mode=755 cgroup sys/fs/cgroup
    for controller in $NODE_CGROUPS; do
        mkdir "sys/fs/cgroup/$controller"
        mount -t cgroup -o "$controller" cgroup "sys/fs/cgroup/$controller"
    done
}

root_enter() {
    mkdir -p .outside
    pivot_root . .outside
    cd /
    umount -l /.outside
    rmdir /.outside
}

links_set() {
    ip link set lo up
    ip address add "$NODE_ADDRESS" dev eth0
    ip link set eth0 up
    if [ -n "$NODE_TRUNK_ADDRESS" ]; then
        ip address add "$NODE_TRUNK_ADDRESS" dev eth1
        # A guest that boots is found soon, not at the next second.
        echo 200 >/proc/sys/net/ipv4/neigh/eth1/retrans_time_ms
    fi
    ip link set eth1 up
}

user_make() {
    rm -rf /etc/one /var/log/one /etc/sudoers.d/plerion-node-root
    if getent passwd "$NODE_USER" >/dev/null; then userdel "$NODE_USER" 2>/dev/null; fi
    if getent group "$NODE_USER" >/dev/null; then groupdel "$NODE_USER"; fi
    groupadd --gid "$NODE_UID" "$NODE_USER"
    useradd --uid "$NODE_UID" --gid "$NODE_UID" --home-dir "$HOME_DIR" --no-create-home --shell /bin/bash "$NODE_USER"
    # No password, yet not "locked": sshd refuses locked accounts their keys.
    usermod -p '*' -a -G libvirt "$NODE_USER"
    install -d -o "$NODE_USER" -g "$NODE_USER" -m 0750 /etc/one /var/log/one
    chmod 1777 /var/tmp
    printf '%s ALL=(root) NOPASSWD: /usr/local/sbin/plerion-node-root ""\n' "$NODE_USER" >/etc/sudoers.d/plerion-node-root
    chmod 0440 /etc/sudoers.d/plerion-node-root
}

sshd_start() {
    cat >/run/sshd.conf <<CONFIG
ListenAddress ${NODE_ADDRESS%/*}:22
HostKey $CONFIG_DIR/host_key
PidFile /run/sshd.pid
AllowUsers $NODE_USER
AuthenticationMethods publickey
PermitRootLogin no
UsePAM no
MaxStartups 100
CONFIG
    mkdir -p /run/sshd
    /usr/sbin/sshd -f /run/sshd.conf -E /run/sshd.log
}

libvirtd_start() {
    local try
    rm -rf /etc/libvirt/qemu/networks/autostart/* /etc/libvirt/qemu/*.xml /var/cache/libvirt/qemu/* /var/lib/libvirt/qemu/*
    cat >/etc/libvirt/libvirtd.conf <<'CONFIG'
listen_tls = 0
listen_tcp = 0
unix_sock_group = "libvirt"
unix_sock_rw_perms = "0770"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid_source = "machine-id"
CONFIG
    cat >/etc/libvirt/qemu.conf <<CONFIG
user = "$NODE_USER"
group = "$NODE_USER"
dynamic_ownership = 0
security_driver = "none"
stdio_handler = "file"
CONFIG
    mkdir -p /run/libvirt /run/lock
    /usr/sbin/libvirtd -d -p /run/libvirtd.pid
    for ((try = 0; try < LIBVIRT_TRIES; try++)); do
        if virsh -q -c qemu:///system version >/dev/null 2>&1; then return; fi
        sleep "$LIBVIRT_PAUSE"
    done
    fail "libvirtd does not answer"
}

root_mount
directories_mount
cgroups_mount
echo mounted
read -r _
root_enter
hostname "$NODE"
cp "$CONFIG_DIR/hosts" /etc/hosts
cp "$CONFIG_DIR/machine-id" /etc/machine-id
links_set
user_make
if [ "$NODE_ROLE" = host ]; then
    sshd_start
    libvirtd_start
fi
echo ready
exec </dev/null >/dev/null
while :; do
    sleep infinity &
    wait || true
done
