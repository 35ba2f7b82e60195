#!/bin/sh
# kvm_hide.sh DIRECTORY COMMAND...
# Runs the command where /dev/kvm is absent, everything else of /dev being there.
# To be run as root in a mount namespace of its own; DIRECTORY is empty.
#
# Where /dev/kvm can be opened but no guest runs under it, libvirt doubts what it
# remembers of QEMU and finds it out anew at each start of a guest, which takes
# many seconds. That does not happen where there is no /dev/kvm at all.
set -eu

layers=$1
shift
mount -t tmpfs -o mode=755 none "$layers"
mkdir "$layers/upper" "$layers/work" "$layers/dev"
mount -t overlay -o "lowerdir=/dev,upperdir=$layers/upper,workdir=$layers/work" none "$layers/dev"
rm "$layers/dev/kvm"
# What is mounted right below /dev, such as pts and shm, once each.
awk '$5 ~ /^\/dev\/[^\/]+$/ && !seen[$5]++ { print $5 }' /proc/self/mountinfo | while read -r path; do
    if [ -d "$path" ]; then mkdir -p "$layers$path"; else : >>"$layers$path"; fi
    mount --rbind "$path" "$layers$path"
done
# libvirt moves each mount below /dev that it finds listed, so none of the old
# ones may stay covered.
while mountpoint -q /dev; do umount -l /dev; done
mount --move "$layers/dev" /dev
exec "$@"
