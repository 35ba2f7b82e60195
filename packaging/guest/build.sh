#!/usr/bin/env bash
# Builds the small guest image: a Debian or Ubuntu kernel and one busybox
# initramfs on a disk that SeaBIOS boots. No root, loop device or mount needed;
# two runs over the same packages give the same bytes.
#
#   build.sh OUTDIR        writes guest.raw, guest.qcow2, vmlinuz, initrd.gz, guest.packages
#
# Environment:
#   GUEST_CACHE        where downloaded packages are kept (default OUTDIR/cache)
#   GUEST_KERNEL       package that pulls the kernel in (default linux-image-amd64
#                      on Debian, linux-image-generic on Ubuntu)
#   GUEST_APT_OPTIONS  further options for apt-get and apt-cache, blank separated
#   SOURCE_DATE_EPOCH  the time written into the files
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly IMAGE_MIN_MIB=32
readonly IMAGE_SPARE_MIB=3
readonly PARTITION_OFFSET=$((1024 * 1024))
readonly DISK_SIGNATURE=0x504c4552
readonly VOLUME_ID=504c4552
# Parts of a kernel package that no emulated machine needs; not unpacking them
# saves most of the time.
readonly KERNEL_SKIPPED=(sound drivers/gpu drivers/media drivers/net/wireless drivers/staging
    drivers/infiniband drivers/iio drivers/hid drivers/isdn net/wireless net/bluetooth)

export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1700000000}
export LC_ALL=C TZ=UTC
umask 022

# modprobe, depmod and mkfs live in sbin, which users may not have in PATH.
PATH=$PATH:/usr/sbin:/sbin

die() {
    printf 'guest image: %s\n' "$*" >&2
    exit 1
}

tools_check() {
    local tool package missing=()
    while read -r tool package; do
        command -v "$tool" >/dev/null || missing+=("$package")
    done <<'TOOLS'
apt-get apt
dpkg-deb dpkg
depmod kmod
cpio cpio
syslinux syslinux
mcopy mtools
mkfs.vfat dosfstools
sfdisk fdisk
qemu-img qemu-utils
xz xz-utils
zstd zstd
TOOLS
    [ ${#missing[@]} -eq 0 ] || die "missing tools; run: apt-get install --no-install-recommends ${missing[*]}"
    [ "$(dpkg --print-architecture)" = amd64 ] || die "guests are built for amd64; this machine is $(dpkg --print-architecture)"
}

apt() {
    local tool=$1
    shift
    # shellcheck disable=SC2086
    "$tool" -o APT::Sandbox::User=root ${GUEST_APT_OPTIONS-} "$@"
}

kernel_package_default() {
    local id
    id=$(. /etc/os-release && echo "${ID-}")
    if [ "$id" = ubuntu ]; then echo linux-image-generic; else echo linux-image-amd64; fi
}

# packages_needed PACKAGE: the names of all it depends on, over any number of steps.
packages_needed() {
    apt apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
        --no-enhances "$1" 2>/dev/null | grep -E '^[a-z0-9]' | sort -u
}

# kernel_packages META: those of them with the kernel and its modules.
kernel_packages() {
    packages_needed "$1" | grep -E '^linux-(image|modules|binary)-[0-9][a-z0-9.+-]*$' | grep -v -- -extra- || true
}

# libraries_only: those names of packages that may hold a library a program is linked with.
libraries_only() {
    grep -E '^(lib|zlib)' | grep -v -E -- '-perl$|^libperl' || true
}

# packages_download CACHE PACKAGE...: prints the file of each package in CACHE,
# downloading what is not there with the right checksum.
packages_download() {
    local cache=$1 list name size checksum
    shift
    list=$(apt apt-get --print-uris download "$@") ||
        die "apt does not know the packages $*; run apt-get update first"
    local missing=()
    while read -r _ name size checksum; do
        if [ "$(file_checksum "$cache/$name" "$checksum")" != "$checksum" ]; then
            rm -f "$cache/$name"
            missing+=("${name%%_*}")
        fi
    done <<<"$list"
    if [ ${#missing[@]} -gt 0 ]; then
        (cd "$cache" && apt apt-get -q=1 download "${missing[@]}") >&2 || die "download failed: ${missing[*]}"
    fi
    while read -r _ name size checksum; do
        [ "$(stat -c %s "$cache/$name" 2>/dev/null)" = "$size" ] || die "$cache/$name is not complete"
        echo "$cache/$name"
    done <<<"$list"
}

# file_checksum FILE LIKE: FILE's checksum in the notation (KIND:hex) of LIKE.
file_checksum() {
    local kind=${2%%:*} sum
    [ -f "$1" ] || return 0
    case $kind in
        SHA256 | SHA512 | MD5Sum) ;;
        *) return 0 ;;
    esac
    kind=${kind%Sum}
    sum=$("${kind,,}sum" "$1")
    echo "${2%%:*}:${sum%% *}"
}

kernel_unpack() {
    local package skipped=() part
    for part in "${KERNEL_SKIPPED[@]}"; do
        skipped+=("--exclude=*/kernel/$part")
    done
    for package in "$@"; do
        dpkg-deb --fsys-tarfile "$package" | tar -x -C "$work/kernel" --wildcards "${skipped[@]}"
    done
    # Debian is on the way from /lib to /usr/lib.
    if [ -d "$work/kernel/usr/lib/modules" ]; then
        mkdir -p "$work/kernel/lib"
        cp -r "$work/kernel/usr/lib/modules" "$work/kernel/lib/"
    fi
    kernel_version=$(cd "$work/kernel/lib/modules" && printf '%s\n' *)
    [ -d "$work/kernel/lib/modules/$kernel_version" ] || die "expected one kernel, found: $kernel_version"
    kernel_image=$(find "$work/kernel" -name "vmlinuz-$kernel_version" -o -path "*/modules/$kernel_version/vmlinuz" | head -n 1)
    [ -n "$kernel_image" ] || die "no vmlinuz in $*"
}

# modules_copy: the modules the guest asks for and all they depend on,
# uncompressed, since busybox need not know the kernel's compression.
modules_copy() {
    local from=$work/kernel to=$work/root/lib/modules/$kernel_version module path
    depmod -b "$from" "$kernel_version"
    while read -r module; do
        modprobe -d "$from" -S "$kernel_version" --show-depends "$module" 2>/dev/null || true
    done <"$here/rootfs/lib/guest/modules" | awk '$1 == "insmod" { print $2 }' | sort -u >"$work/modules"
    [ -s "$work/modules" ] || die "kernel $kernel_version has none of the modules wanted"
    while read -r path; do
        module=$to/${path#*"/lib/modules/$kernel_version/"}
        mkdir -p "$(dirname "$module")"
        case $path in
            *.ko.xz) xz -dc "$path" >"${module%.xz}" ;;
            *.ko.zst) zstd -dcq "$path" >"${module%.zst}" ;;
            *.ko.gz) gzip -dc "$path" >"${module%.gz}" ;;
            *) cp "$path" "$module" ;;
        esac
    done <"$work/modules"
    local name
    for name in modules.builtin modules.builtin.modinfo modules.order; do
        [ ! -f "$from/lib/modules/$kernel_version/$name" ] || cp "$from/lib/modules/$kernel_version/$name" "$to/"
    done
    depmod -b "$work/root" "$kernel_version"
    # Only what busybox's modprobe reads.
    rm -f "$to"/modules.{builtin.modinfo,order,softdep,devname,weakdep} "$to"/*.bin
}

# program_install PROGRAM: from the unpacked packages, with its libraries.
program_install() {
    local program=$1 loader libraries
    loader=$(find "$work/packages" -name 'ld-linux-x86-64.so.2' | sort | head -n 1)
    libraries=$(find "$work/packages" -name 'lib*.so*' -printf '%h\n' | sort -u | paste -sd:)
    mkdir -p "$work/root/usr/sbin" "$work/root/lib64" "$work/root/lib/x86_64-linux-gnu"
    cp "$(find "$work/packages" -type f -path "*/bin/$program" -o -type f -path "*/sbin/$program")" "$work/root/usr/sbin/"
    cp -L "$loader" "$work/root/lib64/ld-linux-x86-64.so.2"
    "$loader" --library-path "$libraries" --list "$work/root/usr/sbin/$program" >"$work/libraries" ||
        die "libraries of $program are missing: $(cat "$work/libraries")"
    awk '$1 !~ /\// && $2 == "=>" && $3 ~ /^\// { print $1, $3 }' "$work/libraries" | while read -r name path; do
        cp -L "$path" "$work/root/lib/x86_64-linux-gnu/$name"
    done
}

root_make() {
    local applet busybox
    mkdir -p "$work/root"/{bin,sbin,proc,sys,dev,run,tmp,mnt,root,var/log,etc}
    # Modes come from here, not from the umask of whoever checked the tree out.
    cp -r "$here/rootfs/." "$work/root/"
    busybox=$(find "$work/packages" -type f -path '*/bin/busybox')
    cp "$busybox" "$work/root/bin/busybox"
    for applet in $("$busybox" --list-full); do
        [ -e "$work/root/$applet" ] || {
            mkdir -p "$work/root/$(dirname "$applet")"
            ln -s /bin/busybox "$work/root/$applet"
        }
    done
    # Where inittab names them, whatever this busybox's own list says.
    for applet in init getty acpid uevent reboot; do
        [ -e "$work/root/sbin/$applet" ] || ln -s /bin/busybox "$work/root/sbin/$applet"
    done
    modules_copy
    program_install dropbear
    program_install dropbearkey
    program_install qemu-ga
    find "$work/root" -type d -exec chmod 755 {} +
    find "$work/root" -type f -perm /111 -exec chmod 755 {} +
    find "$work/root" -type f ! -perm /111 -exec chmod 644 {} +
    chmod 700 "$work/root/root"
    find "$work/root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

initrd_make() {
    (cd "$work/root" && find . -print0 | sort -z | cpio --quiet -0 -o -H newc -R 0:0 --reproducible) |
        gzip -9n >"$work/initrd.gz"
}

disk_make() {
    local disk=$work/guest.raw mib partition=$work/guest.raw@@$PARTITION_OFFSET file
    mib=$((($(stat -c %s "$work/vmlinuz") + $(stat -c %s "$work/initrd.gz")) / 1048576 + 1 + IMAGE_SPARE_MIB))
    [ "$mib" -ge "$IMAGE_MIN_MIB" ] || mib=$IMAGE_MIN_MIB
    truncate -s "${mib}M" "$disk"
    printf 'label: dos\nlabel-id: %s\nstart=2048, type=6, bootable\n' "$DISK_SIGNATURE" | sfdisk -q "$disk"
    dd if="$(mbr_find)" of="$disk" conv=notrunc bs=440 count=1 status=none
    mkfs.vfat --invariant -i "$VOLUME_ID" -n GUEST --offset 2048 -F 16 "$disk" $(((mib - 1) * 1024)) >/dev/null
    cat >"$work/syslinux.cfg" <<'CFG'
SERIAL 0 115200
DEFAULT guest
PROMPT 0
TIMEOUT 1
LABEL guest
KERNEL vmlinuz
INITRD initrd.gz
APPEND console=tty0 console=ttyS0,115200 quiet loglevel=3 net.ifnames=0 panic=10 init_on_alloc=0
CFG
    export MTOOLS_SKIP_CHECK=1
    for file in vmlinuz initrd.gz syslinux.cfg; do
        touch -d "@$SOURCE_DATE_EPOCH" "$work/$file"
        mcopy -m -i "$partition" "$work/$file" ::
    done
    syslinux --offset "$PARTITION_OFFSET" --install "$disk"
    qemu-img convert -f raw -O qcow2 "$disk" "$work/guest.qcow2"
}

mbr_find() {
    local file
    for file in /usr/lib/syslinux/mbr/mbr.bin /usr/lib/SYSLINUX/mbr.bin /usr/share/syslinux/mbr.bin; do
        [ ! -f "$file" ] || { echo "$file"; return; }
    done
    die "mbr.bin of syslinux is missing; run: apt-get install syslinux-common"
}

[ $# -eq 1 ] || die "usage: build.sh OUTDIR"
tools_check
mkdir -p "$1"
out=$(cd "$1" && pwd)
cache=${GUEST_CACHE:-$out/cache}
mkdir -p "$cache"
work=$(mktemp -d "$out/.build.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{kernel,packages,root}

kernel_meta=${GUEST_KERNEL:-$(kernel_package_default)}
mapfile -t kernel_names < <(kernel_packages "$kernel_meta")
[ ${#kernel_names[@]} -gt 0 ] || die "apt knows no kernel for $kernel_meta; run apt-get update first"
mapfile -t kernel_files < <(packages_download "$cache" "${kernel_names[@]}")
[ ${#kernel_files[@]} -gt 0 ] || exit 1
mapfile -t library_names < <({ packages_needed dropbear-bin; packages_needed qemu-guest-agent; } | libraries_only | sort -u)
mapfile -t program_files < <(packages_download "$cache" busybox-static dropbear-bin qemu-guest-agent "${library_names[@]}")
[ ${#program_files[@]} -gt 0 ] || exit 1

kernel_unpack "${kernel_files[@]}"
for file in "${program_files[@]}"; do
    dpkg-deb -x "$file" "$work/packages"
done
cp "$kernel_image" "$work/vmlinuz"
chmod 644 "$work/vmlinuz"
root_make
initrd_make
disk_make
printf '%s\n' "${kernel_files[@]##*/}" "${program_files[@]##*/}" | sort >"$work/guest.packages"
for file in guest.raw guest.qcow2 vmlinuz initrd.gz guest.packages; do
    mv -f "$work/$file" "$out/$file"
done
printf '%s/guest.qcow2\n%s/guest.raw\n' "$out" "$out"
