#!/usr/bin/env bash
# machine.sh BASE WORK TOOLCHAIN COMMAND...
# Becomes process 1 of a machine: root is the directory BASE under the layer
# WORK/upper. To be run as root in new namespaces of all kinds but user.
# TOOLCHAIN, if any, is a directory with a Rust toolchain that the machine gets to see.
set -euo pipefail

base=$1 work=$2 toolchain=$3
shift 3
root=$work/root
mount --make-rprivate /
# Tell run.sh that the namespaces are there; it answers when the network is.
echo >"$work/ready"
read -r -N 1 <"$work/network_ready"
hostname up-test
ip link set lo up

mount -t overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/work" none "$root"
mount -t proc proc "$root/proc"
# What belongs to the whole kernel stays as it is; the network is our own.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -p "$root/run/lock"
chmod 1777 "$root/run/lock"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"

mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom tty net/tun kvm fuse; do
    [ -c "/dev/$node" ] || continue
    mkdir -p "$(dirname "$root/dev/$node")"
    mknod -m 666 "$root/dev/$node" c $((16#$(stat -c %t "/dev/$node"))) $((16#$(stat -c %T "/dev/$node")))
done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t mqueue mqueue "$root/dev/mqueue"
ln -s /proc/self/fd "$root/dev/fd"
for number in 0 1 2; do ln -s "/proc/self/fd/$number" "$root/dev/$(sed -n "$((number + 1))p" <<<$'stdin\nstdout\nstderr')"; done

# Packages that were downloaded by an earlier run.
mkdir -p "$work/../cache/archives-${work##*/}" "$root/var/cache/apt/archives"
mount --bind "$work/../cache/archives-${work##*/}" "$root/var/cache/apt/archives"
if [ -n "$toolchain" ]; then
    mkdir -p "$root/up-test/toolchain"
    mount --bind -o ro "$toolchain" "$root/up-test/toolchain"
fi

cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
rmdir /.old
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=linux container=up-test "$@"
