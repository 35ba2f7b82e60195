#!/usr/bin/env bash
# Tries make up and make down on a fresh system: a root file system made by
# debootstrap, run with its own process 1, network and file systems, so that this
# machine stays as it is. The clone in it holds the last commit of this checkout.
#
#   run.sh [SYSTEM [MACHINE]]
#
#   SYSTEM    debian-12 (default), debian-13 or ubuntu-24.04
#   MACHINE   container  systemd as process 1, the kernel of this machine (default)
#             plain      the same, without systemd
#             vm         QEMU with the system's own kernel, as root alone, packages there already
#
# Environment:
#   UP_TEST_DIR       where root file systems, downloads and logs go (default target/up-test)
#   UP_TEST_BUILD     1: plerion is compiled in there from the clone, with the toolchain of
#                     this machine's rustup (not in a vm); else PLERION_BINARY is used
#   PLERION_BINARY    default: target/release/plerion, built when missing; it has to run on SYSTEM
#   UP_TEST_LANG      LANG in there (default C.UTF-8; zh_CN.UTF-8 for the Chinese messages)
#   UP_TEST_MIRROR    the mirror for debootstrap, if not its own default
#   UP_TEST_KEYRING   the keyring for debootstrap, if not its own default
#   SSL_CERT_FILE     certificates that the machine is to trust as well
#   UP_TEST_ACCEL     accelerator of a vm (default: kvm if it runs a guest, else tcg)
#
# Ends with 0 if all held, 1 if something did not, 77 (and a loud line) if this
# machine lacks what the test needs.
set -euo pipefail

TEST_SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CHECKOUT=$(cd "$TEST_SOURCE/../../.." && pwd)
readonly TEST_SOURCE CHECKOUT
readonly SKIPPED=77
readonly NETWORK_SECONDS=30
readonly VM_SECONDS=5400
readonly VM_MEMORY_MIB=3072
readonly VM_DISK_GIB=10
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

skip() {
    printf '\nup-test: SKIPPED, NOTHING WAS TESTED: %s\n' "$*" >&2
    exit "$SKIPPED"
}

fail() {
    printf '\nup-test: FAILED: %s\n' "$*" >&2
    exit 1
}

system=${1:-debian-12}
machine=${2:-container}
case $system in
    debian-12) suite=bookworm kernel=linux-image-amd64 ;;
    debian-13) suite=trixie kernel=linux-image-amd64 ;;
    ubuntu-24.04) suite=noble kernel=linux-image-generic ;;
    *) fail "SYSTEM $system is none of debian-12 debian-13 ubuntu-24.04" ;;
esac
case $machine in
    container | plain | vm) ;;
    *) fail "MACHINE $machine is none of container plain vm" ;;
esac

readonly dir=${UP_TEST_DIR:-$CHECKOUT/target/up-test}
readonly base=$dir/base-$system work=$dir/$system-$machine
init_pid=
network_pid=
cgroup=

cleanup() {
    [ -z "$init_pid" ] || kill -KILL "$init_pid" 2>/dev/null || true
    [ -z "$network_pid" ] || kill "$network_pid" 2>/dev/null || true
    wait
    [ -z "$cgroup" ] || cgroup_remove
}
trap cleanup EXIT

cgroup_remove() {
    find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || true
}

tools_check() {
    local tool missing=() tools=(debootstrap git unshare nsenter)
    [ "$(id -u)" -eq 0 ] || skip "it needs root"
    [ "$(uname -m)" = x86_64 ] || skip "make up is for x86_64"
    case $machine in
        vm) tools+=(qemu-system-x86_64 qemu-img mkfs.ext4 slirp4netns) ;;
        *) tools+=(slirp4netns) ;;
    esac
    for tool in "${tools[@]}"; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    [ ${#missing[@]} -eq 0 ] || skip "missing: ${missing[*]} (packages debootstrap git util-linux slirp4netns qemu-system-x86 qemu-utils e2fsprogs)"
    [ -e /dev/net/tun ] || skip "there is no /dev/net/tun for the network"
    unshare --mount --pid --net --uts --ipc --cgroup --fork true 2>/dev/null || skip "this machine does not allow namespaces"
    cgroup_parent=$(awk '$(NF - 2) == "cgroup2" { print $5; exit }' /proc/self/mountinfo)
    [ -n "$cgroup_parent" ] || skip "there is no cgroup2 hierarchy"
    if [ "${UP_TEST_BUILD-}" = 1 ] && ! { [ "$machine" != vm ] && command -v rustup >/dev/null; }; then
        skip "UP_TEST_BUILD=1 needs rustup here, and is not for a vm"
    fi
}

# base_make: the root file system as the distribution's installer leaves it, kept for later runs.
base_make() {
    local options=()
    [ ! -f "$base.done" ] || return 0
    rm -rf --one-file-system "$base"
    mkdir -p "$dir/cache/$suite"
    [ -z "${UP_TEST_KEYRING-}" ] || options+=(--keyring="$UP_TEST_KEYRING")
    [ "$suite" != noble ] || options+=('--components=main,universe')
    echo "up-test: debootstrap $suite (log: $base.log)"
    # A mirror that is not there ends in a skip: it says nothing about make up. In
    # namespaces of its own, so that nothing stays mounted whatever happens.
    unshare --mount --pid --fork --kill-child debootstrap --cache-dir="$dir/cache/$suite" "${options[@]}" "$suite" \
        "$base" ${UP_TEST_MIRROR:+"$UP_TEST_MIRROR"} >"$base.log" 2>&1 || skip "debootstrap failed: $(tail -n 1 "$base.log")"
    touch "$base.done"
}

binary_choose() {
    binary=
    [ "${UP_TEST_BUILD-}" != 1 ] || return 0
    binary=${PLERION_BINARY:-$CHECKOUT/target/release/plerion}
    [ -n "${PLERION_BINARY-}" ] || (cd "$CHECKOUT" && "${CARGO:-cargo}" build --release --locked --bin plerion)
    [ -x "$binary" ] || fail "PLERION_BINARY=$binary is not an executable file"
}

# payload_make DIRECTORY: what the machine gets besides its system.
payload_make() {
    mkdir -p "$1"
    git -c safe.directory='*' clone -q --bare "$CHECKOUT" "$1/plerion.git"
    [ -z "$binary" ] || install -m 0755 "$binary" "$1/plerion"
    [ "${UP_TEST_BUILD-}" != 1 ] || install -m 0755 "$(command -v rustup)" "$1/rustup"
    install -m 0755 "$TEST_SOURCE/inside.sh" "$1/inside.sh"
    {
        printf 'UP_TEST_MACHINE=%s\n' "$machine"
        printf 'UP_TEST_LANG=%s\n' "${UP_TEST_LANG:-C.UTF-8}"
        printf 'UP_TEST_TOOLCHAIN=%s\n' "$(sed -n 's/^channel *= *"\(.*\)"/\1/p' "$CHECKOUT/rust-toolchain.toml")"
        printf 'UP_TEST_BINARY=%s\n' "${binary:+/up-test/plerion}"
    } >"$1/settings"
}

# unit_write ROOT OUTPUT: what has systemd run the test at each start.
unit_write() {
    cat >"$1/etc/systemd/system/up-test.service" <<UNIT
[Unit]
Description=Test of make up
After=multi-user.target
[Service]
# As in the shell of somebody who has logged in.
Environment=HOME=/root USER=root LOGNAME=root
WorkingDirectory=/root
ExecStart=/up-test/inside.sh
StandardOutput=$2
StandardError=inherit
# Daemons that make up starts must not end with it.
KillMode=process
UNIT
    mkdir -p "$1/etc/systemd/system/default.target.wants"
    ln -sf ../up-test.service "$1/etc/systemd/system/default.target.wants/up-test.service"
}

# overlay_make: an empty layer over the base, with the payload in it.
overlay_make() {
    rm -rf --one-file-system "$work"
    mkdir -p "$work"/{upper,work,root,archives}
    payload_make "$work/upper/up-test"
    mkdir -p "$work/upper/etc/systemd/system"
    echo 'nameserver 10.0.2.3' >"$work/upper/etc/resolv.conf"
    echo up-test >"$work/upper/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 up-test\n' >"$work/upper/etc/hosts"
    # Where downloads go through a proxy with a certificate of its own.
    if [ -f "${SSL_CERT_FILE-}" ]; then
        install -D -m 0644 "$SSL_CERT_FILE" "$work/upper/usr/local/share/ca-certificates/up-test.crt"
    fi
    : >"$work/upper/up-test/log"
    if [ "$machine" = container ]; then unit_write "$work/upper" append:/up-test/log; fi
}

# container_run COMMAND...: with the command as process 1 over the base and the
# layer; sets container_status to how it ended.
container_run() {
    local ready=$work/ready network_ready=$work/network_ready toolchain=
    [ "${UP_TEST_BUILD-}" != 1 ] || toolchain=$(cd "$CHECKOUT" && realpath "$(rustc --print sysroot)")
    cgroup=$(mktemp -d "$cgroup_parent/plerion-up-test.XXXXXX")
    rm -f "$ready" "$network_ready"
    mkfifo "$ready" "$network_ready"
    # The shell enters the cgroup, so that the new namespace has it as its root.
    bash -c 'echo $BASHPID >"$1/cgroup.procs"; shift; exec "$@"' enter "$cgroup" \
        unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child \
        "$TEST_SOURCE/machine.sh" "$base" "$work" "$toolchain" "$@" </dev/null >>"$work/console" 2>&1 &
    init_pid=$!
    network_start "$ready" "$network_ready"
    container_status=0
    # A restart ends it by a signal, of which the shell would tell.
    { wait "$init_pid" || container_status=$?; } 2>/dev/null
    init_pid=
    kill "$network_pid" 2>/dev/null || true
    wait "$network_pid" 2>/dev/null || true
    network_pid=
    cgroup_remove
    cgroup=
}

# network_start READY NETWORK_READY: waits until the machine has its namespaces, gives
# it a network, tells it.
network_start() {
    local child
    # machine.sh opens READY for writing when its namespaces are there.
    read -r -t "$NETWORK_SECONDS" <>"$1" || fail "the namespaces were not made: $(tail -n 2 "$work/console")"
    child=$(pgrep -P "$init_pid")
    exec 8<>"$2"
    slirp4netns --configure --mtu=1500 --disable-host-loopback --ready-fd=9 "$child" eth0 9>&8 >"$work/network" 2>&1 8>&- &
    network_pid=$!
    exec 8>&-
}

# log_follow FILE: shows it while the machine runs.
log_follow() {
    tail -n +1 -q -F "$1" --pid=$$ 2>/dev/null &
    follower=$!
}

container_test() {
    local starts=0
    overlay_make
    log_follow "$work/upper/up-test/log"
    while :; do
        starts=$((starts + 1))
        if [ "$machine" = plain ]; then
            container_run /bin/bash -c '/up-test/inside.sh >>/up-test/log 2>&1'
        else
            container_run /sbin/init
        fi
        # It ends by itself or asks for a restart, once.
        if [ "$(cat "$work/upper/up-test/result" 2>/dev/null)" != restart ] || [ "$starts" -ge 3 ]; then break; fi
        rm -f "$work/upper/up-test/result"
    done
    sleep 1
    kill "$follower" 2>/dev/null || true
    result_check "$work/upper/up-test/result" "$work/upper/up-test/log"
}

# vm_image_make: a disk with the base, its kernel and the payload; and its kernel beside it.
vm_image_make() {
    overlay_make
    # The packages of make up, too: under emulation their installation takes the longest
    # by far, and the containers show it.
    cat >"$work/upper/up-test/vm_prepare.sh" <<PREPARE
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q -y install --no-install-recommends $kernel initramfs-tools systemd-sysv udev dbus apparmor \
    $(. "$CHECKOUT/packaging/up/system.sh" && echo "${PACKAGES[*]}")
PREPARE
    echo "up-test: kernel for the vm (log: $work/console)"
    container_run /bin/bash /up-test/vm_prepare.sh
    [ "$container_status" -eq 0 ] || fail "no kernel for the vm, see $work/console"
    rm -f "$work/upper/up-test/vm_prepare.sh"
    unit_write "$work/upper" tty
    sed -i 's,^StandardOutput=tty,&\nTTYPath=/dev/ttyS1,' "$work/upper/etc/systemd/system/up-test.service"
    mkdir -p "$work/upper/etc/systemd/network"
    printf '[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\n' >"$work/upper/etc/systemd/network/50-up-test.network"
    mkdir -p "$work/upper/etc/systemd/system/multi-user.target.wants"
    ln -sf /lib/systemd/system/systemd-networkd.service "$work/upper/etc/systemd/system/multi-user.target.wants/"
    echo '/dev/vda / ext4 errors=remount-ro 0 1' >"$work/upper/etc/fstab"
    truncate -s "${VM_DISK_GIB}G" "$work/disk.raw"
    # shellcheck disable=SC2016
    unshare --mount bash -euc '
        mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" none "$2/root"
        cp "$(ls "$2"/root/boot/vmlinuz-*)" "$2/vmlinuz"
        cp "$(ls "$2"/root/boot/initrd.img-*)" "$2/initrd"
        mkfs.ext4 -q -F -d "$2/root" "$2/disk.raw"' image "$base" "$work"
}

vm_accelerator() {
    if [ -n "${UP_TEST_ACCEL-}" ]; then
        echo "$UP_TEST_ACCEL"
    elif "${binary}" node probe --state-dir "$work/probe" 2>/dev/null | grep -qE '"kvm_usable" *: *true'; then
        echo kvm
    else
        echo tcg,thread=multi
    fi
}

vm_test() {
    vm_image_make
    : >"$work/serial"
    log_follow "$work/serial"
    timeout "$VM_SECONDS" qemu-system-x86_64 -M q35 -accel "$(vm_accelerator)" -cpu max -smp 2 -m "$VM_MEMORY_MIB" -nodefaults \
        -display none -serial "file:$work/console" -serial "file:$work/serial" -monitor none -kernel "$work/vmlinuz" -initrd "$work/initrd" \
        -append 'root=/dev/vda rw console=ttyS0 quiet systemd.show_status=0' \
        -drive "file=$work/disk.raw,format=raw,if=virtio,cache=unsafe" \
        -netdev user,id=net -device virtio-net-pci,netdev=net -device virtio-rng-pci &
    init_pid=$!
    wait "$init_pid" || fail "QEMU ended with $?"
    init_pid=
    sleep 1
    kill "$follower" 2>/dev/null || true
    sed -n 's/^up-test-result: \([a-z]*\).*/\1/p' "$work/serial" | tail -n 1 >"$work/result"
    result_check "$work/result" "$work/serial"
}

result_check() {
    [ "$(cat "$1" 2>/dev/null)" = passed ] || fail "$system in a $machine: see $2"
    printf '\nup-test: passed: %s in a %s\n' "$system" "$machine"
}

tools_check
mkdir -p "$dir"
binary_choose
base_make
if [ "$machine" = vm ]; then vm_test; else container_test; fi
