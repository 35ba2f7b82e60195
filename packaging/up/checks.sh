# shellcheck shell=bash
# What is looked at before anything is changed. To be sourced.

readonly DISK_MIN_MIB=2048
readonly BUILD_DISK_MIN_MIB=4096
readonly MEMORY_MIN_MIB=1024
readonly SUBNET_CANDIDATES=(192.168.150 192.168.151 10.150.150 172.31.150)
COMMAND_NAMES=(onevm onehost onecluster oneimage onedatastore onevnet onetemplate oneuser onegroup onesecgroup onevntemplate onevrouter onevmgroup onemarket onemarketapp onevdc onezone oneacl oneacct oneshowback onehook onebackupjob)

REFUSALS=()
refuse() {
    REFUSALS+=("$(text "$@")")
}

# checks_run: prints every reason there is, not only the first.
checks_run() {
    system_check
    space_check
    foreign_check
    libvirt_check
    network_choose
    rust_check
    [ ${#REFUSALS[@]} -eq 0 ] && return 0
    printf '\n%s\n' "$(text refused)" >&2
    printf '  - %s\n' "${REFUSALS[@]}" >&2
    exit 2
}

system_check() {
    local id version
    id=$(. /etc/os-release && echo "${ID-}")
    version=$(. /etc/os-release && echo "${VERSION_ID-}")
    case $id-$version in
        debian-12 | debian-13 | ubuntu-22.04 | ubuntu-24.04 | ubuntu-26.04) ;;
        *) refuse refuse_os "$id $version" ;;
    esac
    [ "$(uname -m)" = x86_64 ] || refuse refuse_arch "$(uname -m)"
}

# space_free PATH: MiB free where PATH is, or will be.
space_free() {
    local path=$1
    while [ ! -e "$path" ]; do path=$(dirname "$path"); done
    df -Pm "$path" | awk 'NR == 2 { print $4 }'
}

space_check() {
    local free
    free=$(space_free "$STATE_DIR")
    [ "$free" -ge "$DISK_MIN_MIB" ] || refuse refuse_disk "$STATE_DIR" "$free" "$DISK_MIN_MIB"
    if [ -z "${PLERION_BINARY-}" ]; then
        free=$(space_free "$CHECKOUT")
        [ -x "$CHECKOUT/target/release/plerion" ] || [ "$free" -ge "$BUILD_DISK_MIN_MIB" ] ||
            refuse refuse_disk "$CHECKOUT" "$free" "$BUILD_DISK_MIN_MIB"
    fi
    free=$(awk '/^MemAvailable/ { printf "%d", $2 / 1024 }' /proc/meminfo)
    [ "$free" -ge "$MEMORY_MIN_MIB" ] || refuse refuse_memory "$free" "$MEMORY_MIN_MIB"
}

# port_listens PORT: read from /proc, since a fresh machine may have no ss.
port_listens() {
    local hex
    hex=$(printf '%04X' "$1")
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port=":$hex" '
        $4 == "0A" && substr($2, length($2) - 4) == port { found = 1 }
        END { exit !found }'
}

foreign_check() {
    local path name
    for path in "$STATE_DIR" "$CONFIG_DIR" "$LOG_DIR" "$BINARY" "$ROOT_HELPER" "$GUEST_IMAGE" \
        /etc/sudoers.d/plerion-node-root /etc/systemd/system/plerion.service; do
        ours "$path" || refuse refuse_path "$path"
    done
    for name in "${COMMAND_NAMES[@]}"; do
        ours "/usr/local/bin/$name" || refuse refuse_path "/usr/local/bin/$name"
        [ ! -e "/usr/bin/$name" ] || { refuse refuse_path "/usr/bin/$name"; break; }
    done
    if getent passwd "$RUN_USER" >/dev/null || getent group "$RUN_USER" >/dev/null; then
        manifest_has user "$RUN_USER" || refuse refuse_user "$RUN_USER"
    fi
    if port_listens "$API_PORT" && ! frontend_running; then
        refuse refuse_port "$API_PORT"
    fi
}

# libvirt_check: guests of others would not survive the change of QEMU's user.
libvirt_check() {
    local file name foreign=() running
    for file in /etc/libvirt/qemu/*.xml; do
        [ -e "$file" ] || continue
        name=$(basename "$file" .xml)
        [[ $name == one-* ]] || foreign+=("$name")
    done
    [ ${#foreign[@]} -eq 0 ] || refuse refuse_guests "${foreign[*]}"
    if ! systemd_runs && ! process_find libvirtd >/dev/null; then
        running=$(pids_here libvirtd)
        [ -z "$running" ] || refuse refuse_libvirtd "${running//$'\n'/ }"
    fi
}

# address_number A.B.C.D: as one number.
address_number() {
    local a b c d
    IFS=. read -r a b c d <<<"$1"
    echo $(((a << 24) | (b << 16) | (c << 8) | d))
}

# subnet_route A.B.C: the device that already leads to a part of that /24, if any.
subnet_route() {
    local net device destination mask common
    net=$(address_number "$1.0")
    while read -r device destination _ _ _ _ _ mask _; do
        [ "$device" != Iface ] || continue
        # The kernel prints both as little-endian words.
        destination=$((16#${destination:6:2}${destination:4:2}${destination:2:2}${destination:0:2}))
        mask=$((16#${mask:6:2}${mask:4:2}${mask:2:2}${mask:0:2}))
        [ "$mask" -ne 0 ] || continue
        common=$((mask & 0xFFFFFF00))
        if [ $((destination & common)) -eq $((net & common)) ]; then
            echo "$device"
            return
        fi
    done </proc/net/route
}

# network_choose: sets BRIDGE and SUBNET (the first three numbers of a /24).
network_choose() {
    local candidate device wanted=${ONE_SUBNET-}
    BRIDGE=$(setting_get bridge)
    SUBNET=$(setting_get subnet)
    [ -z "$SUBNET" ] || return 0
    BRIDGE=${ONE_BRIDGE:-onebr0}
    [[ $BRIDGE =~ ^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$ ]] || { refuse refuse_bridge_name "$BRIDGE"; return 0; }
    [ ! -e "/sys/class/net/$BRIDGE" ] || manifest_has bridge "$BRIDGE" || refuse refuse_bridge "$BRIDGE"
    if [ -n "$wanted" ]; then
        if [[ ! $wanted =~ ^(([0-9]{1,3}\.){2}[0-9]{1,3})\.0/24$ ]]; then
            refuse refuse_subnet_form "$wanted"
            return 0
        fi
        SUBNET=${BASH_REMATCH[1]}
        device=$(subnet_route "$SUBNET")
        [ -z "$device" ] || refuse refuse_subnet "$wanted" "$device"
        return 0
    fi
    for candidate in "${SUBNET_CANDIDATES[@]}"; do
        if [ -z "$(subnet_route "$candidate")" ]; then
            SUBNET=$candidate
            return 0
        fi
    done
    refuse refuse_subnets "${SUBNET_CANDIDATES[*]/%/.0/24}"
}

# cargo_find: cargo of the caller, or of the one who called sudo.
cargo_find() {
    local home
    command -v cargo && return 0
    for home in "${CARGO_HOME-}" "$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)/.cargo" "$HOME/.cargo"; do
        if [ -n "$home" ] && [ -x "$home/bin/cargo" ]; then
            echo "$home/bin/cargo"
            return 0
        fi
    done
    return 1
}

# build_run CARGO ARGUMENT...: in the checkout, as the one it belongs to, so that
# no file of root's is left in it. A toolchain of rustup lies beside its cargo.
build_run() {
    local cargo=$1 owner home toolchains
    shift
    owner=$(stat -c %U "$CHECKOUT")
    toolchains=${RUSTUP_HOME:-$(dirname "$(dirname "$(dirname "$cargo")")")/.rustup}
    if [ "$owner" != root ] && [ "$owner" = "${SUDO_USER-}" ]; then
        home=$(getent passwd "$owner" | cut -d: -f6)
        (cd "$CHECKOUT" && exec runuser -u "$owner" -- env HOME="$home" PATH="$(dirname "$cargo"):$PATH" "$cargo" "$@")
        return
    fi
    (
        cd "$CHECKOUT" || exit
        [ ! -d "$toolchains" ] || export RUSTUP_HOME=$toolchains
        PATH="$(dirname "$cargo"):$PATH" exec "$cargo" "$@"
    )
}

# rust_check: what rustup lacks it fetches when the build starts, so only a cargo
# without rustup can be too old.
rust_check() {
    local cargo wanted found
    [ -z "${PLERION_BINARY-}" ] || { [ -x "$PLERION_BINARY" ] || refuse refuse_binary "$PLERION_BINARY"; return 0; }
    wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$CHECKOUT/Cargo.toml")
    if ! cargo=$(cargo_find); then
        refuse refuse_no_cargo "$wanted"
        return 0
    fi
    [ ! -x "$(dirname "$cargo")/rustup" ] || return 0
    if ! found=$(build_run "$cargo" --version 2>&1); then
        refuse refuse_cargo_fails "$cargo" "$found"
        return 0
    fi
    found=$(awk '$1 == "cargo" { print $2; exit }' <<<"$found")
    if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
        refuse refuse_old_cargo "$cargo" "${found:-?}" "$wanted"
    fi
}
