#!/usr/bin/env bash
# What run.sh has a fresh machine do: what README.md says, then looks at what came
# of it. Started anew after the restart of the machine; the stage is in /up-test.
# Functions are called by name through must and wait_for, which also take scripts for
# a shell of their own.
# shellcheck disable=SC2016,SC2317
set -euo pipefail

readonly PLACE=/up-test STATE_DIR=/var/lib/one UP_DIR=/var/lib/plerion-up
readonly START_SECONDS=300 VM_SECONDS=300
# What packages, timers and the test itself write at any time.
readonly NOT_COMPARED='^/(var/lib/(apt|dpkg|systemd|dbus|ucf|logrotate|private|plerion-up|urandom|fake-hwclock|dhcp|NetworkManager)|home/tester/(plerion|\.cargo|\.rustup)|root/(plerion|\.cargo|\.rustup))(/|$)|^/etc/(resolv\.conf|ld\.so\.cache|\.pwd\.lock|(passwd|group|shadow|gshadow|subuid|subgid)-)$'
# shellcheck source=/dev/null
. "$PLACE/settings"
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive
# An emulated machine on a busy one takes its time.
export SYSTEMD_BUS_TIMEOUT=300
[ "$UP_TEST_MACHINE" = container ] && owner=tester home=/home/tester || owner=root home=/root
readonly owner home

end() {
    echo "$1" >"$PLACE/result"
    sync
    printf 'up-test-result: %s\n' "$1"
    [ "$UP_TEST_MACHINE" != plain ] || exit 0
    systemctl --no-block poweroff
    exit 0
}

fail() {
    printf 'FAIL  %s\n' "$*"
    end failed
}

ok() { printf 'ok    %s\n' "$*"; }

# must WHAT COMMAND...: says whether it holds.
must() {
    local what=$1 output
    shift
    if output=$("$@" 2>&1); then
        ok "$what"
    else
        printf '%s\n' "$output" | tail -n 40
        fail "$what: $*"
    fi
}

# wait_for SECONDS WHAT COMMAND...
wait_for() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || fail "$what did not come true: $* ($("$@" 2>&1 | tail -n 3))"
        sleep 0.5
    done
    ok "$what"
}

systemd_runs() { [ -d /run/systemd/system ]; }

# typed COMMAND_LINE: what somebody types in a shell of their own, in the clone.
typed() {
    printf '\n$ %s\n' "$1"
    if [ "$owner" = root ]; then
        (cd ~/plerion 2>/dev/null || cd ~ && LANG=$UP_TEST_LANG bash -c "$1")
    else
        runuser -l "$owner" -w LANG -c "cd plerion 2>/dev/null; export LANG=$UP_TEST_LANG; $1"
    fi
}

# root_typed SETTING... MAKE TARGET, with sudo where there is one who needs it.
root_typed() {
    if [ "$owner" = root ]; then typed "$*"; else typed "sudo LANG=$UP_TEST_LANG $*"; fi
}

make_up() {
    local started=$SECONDS
    root_typed ${UP_TEST_BINARY:+"PLERION_BINARY=$UP_TEST_BINARY"} make up || fail "make up ended with $?"
    ok "make up, $((SECONDS - started)) s"
}

make_down() {
    root_typed "$@" make down || fail "make down ended with $?"
    ok "make down"
}

packages_installed() { dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | grep '^ii' | sort; }

# Where the packages are to go as well, that is all there is to see.
purge_test() {
    make_down PURGE_PACKAGES=1
    must "no user oneadmin" bash -c '! getent passwd oneadmin && ! getent group oneadmin'
    packages_installed >"$PLACE/packages.purged"
    compare "$PLACE/packages.fresh" "$PLACE/packages.purged" "PURGE_PACKAGES=1 make down removes all packages that make up installed"
}

cloud() { runuser -u oneadmin -- env HOME="$STATE_DIR" "$@"; }

vm_address() { cloud onevm show -x "$1" | sed -n 's,.*<IP><!\[CDATA\[\([0-9.]*\).*,\1,p;s,.*<IP>\([0-9.]*\)</IP>.*,\1,p' | head -n 1; }
vm_answers() { ping -q -c 1 -W 1 "$(vm_address "$1")"; }
vm_state_is() { grep -qE "^LCM_STATE +: +$2|^STATE +: +$2" <<<"$(cloud onevm show "$1")"; }

# files_of FIND_OPTIONS...: where settings and state are kept.
files_of() {
    local top
    for top in /etc /usr/local /opt /srv /root /home /var /boot; do
        find "$top" -xdev \( -path /var/log -o -path /var/cache -o -path /var/tmp \) -prune -o "$@"
    done
}

# snapshot FILE: all that make down has to leave as it was.
snapshot() {
    local path
    {
        files_of -printf '%M %u:%g %p %l\n' | awk -v not="$NOT_COMPARED" '$3 !~ not' | sort
        files_of -type f -print0 | xargs -0 sha256sum | awk -v not="$NOT_COMPARED" '$2 !~ not' | sort -k 2
        for path in passwd group shadow gshadow sudoers; do sed "s/^/$path: /" "/etc/$path" 2>/dev/null || true; done
        ip -o link | sed 's/^[0-9]*: \([^:@]*\).*/link \1/' | sort
        ip -o -4 address | awk '{ print "address", $2, $4 }' | sort
        find /tmp /var/tmp /run /var/log -xdev \( -iname '*plerion*' -o -iname '*oneadmin*' -o -user oneadmin \) 2>/dev/null |
            sed 's/^/left /' | sort || true
        if systemd_runs; then
            systemctl list-unit-files --no-legend --no-pager | awk '{ print "unit", $1, $2 }' | sort
            units_failed | sed 's/^/failed /'
        fi
        ! command -v nft >/dev/null || nft list ruleset | sed 's/counter packets.*bytes [0-9]*//; s/^/nft /'
    } >"$1"
}

compare() {
    diff -u "$1" "$2" >"$PLACE/difference" && { ok "$3"; return 0; }
    cat "$PLACE/difference"
    fail "$3"
}

# A container cannot give users a cgroup of their own, so their managers fail in it.
units_failed() {
    systemctl list-units --no-legend --no-pager --plain --state=failed | awk -v machine="$UP_TEST_MACHINE" '
        $1 != "up-test.service" && !(machine == "container" && $1 ~ /^user@/) { print $1 }'
}

units_fine() {
    [ -n "$(units_failed)" ] || return 0
    systemctl --no-pager status --state=failed
    return 1
}

check_up() {
    must "the front-end answers" cloud onehost list
    must "the host is monitored" bash -c 'runuser -u oneadmin -- env HOME=/var/lib/one onehost show 0 | grep -E "^STATE +: MONITORED"'
    must "the VM answers" vm_answers 0
    if systemd_runs; then
        must "units are enabled" systemctl -q is-enabled plerion.service plerion-bridge.service
        must "units are active" systemctl -q is-active plerion.service plerion-bridge.service libvirtd.service
        must "no unit has failed" units_fine
    fi
    must "guests do not run as root" bash -c '[ "$(stat -c %U /proc/$(pidof -s qemu-system-x86_64))" = oneadmin ]'
}

check_down() {
    must "the manifest is gone" test ! -e "$UP_DIR"
    must "no user oneadmin" bash -c '! getent passwd oneadmin && ! getent group oneadmin'
    must "no line about it in /etc" bash -c '! grep -rIlE "plerion|oneadmin" /etc --exclude="*-"'
    must "no process of it" bash -c '! pgrep -a "plerion|qemu-system"'
    must "no guest in libvirt" bash -c 'systemctl -q is-active libvirtd 2>/dev/null || exit 0; [ -z "$(virsh -q -c qemu:///system list --all --name)" ]'
    must "port 2633 is free" bash -c '! ss -Hltn sport = :2633 | grep .'
}

# The commands of README.md below "Next steps".
readme_next_steps() {
    cloud onehost list
    cloud onevm list
    cloud onevm show 0
    must "instantiate" cloud onetemplate instantiate plerion-guest --name second-vm
    wait_for "$VM_SECONDS" "the second VM runs" vm_state_is second-vm RUNNING
    wait_for "$VM_SECONDS" "the second VM answers" vm_answers second-vm
    must "poweroff" cloud onevm poweroff second-vm
    wait_for "$VM_SECONDS" "the second VM is off" vm_state_is second-vm POWEROFF
    must "resume" cloud onevm resume second-vm
    wait_for "$VM_SECONDS" "the second VM answers again" vm_answers second-vm
    must "terminate" cloud onevm terminate second-vm
    wait_for "$VM_SECONDS" "the second VM is gone" bash -c "! runuser -u oneadmin -- env HOME=$STATE_DIR onevm list | grep second-vm"
}

prepare() {
    local packages=(make git)
    apt-get -q update >/dev/null
    [ "$owner" = root ] || packages+=(sudo)
    apt-get -q -y install --no-install-recommends "${packages[@]}" >"$PLACE/apt.log" 2>&1 || fail "apt-get install ${packages[*]}"
    # Without a password for root, Debian's sudo refuses to be removed.
    if [ "$owner" = root ]; then
        echo root:up-test | chpasswd
    else
        useradd --create-home --shell /bin/bash "$owner"
        echo "$owner ALL=(ALL) NOPASSWD: ALL" >"/etc/sudoers.d/$owner"
        chmod 0440 "/etc/sudoers.d/$owner"
    fi
    if [ -d "$PLACE/toolchain" ]; then
        # As rustup leaves it, once it has fetched what rust-toolchain.toml names.
        mkdir -p "$home/.cargo/bin" "$home/.rustup/toolchains"
        cp "$PLACE/rustup" "$home/.cargo/bin/rustup"
        ln -s rustup "$home/.cargo/bin/cargo"
        ln -s rustup "$home/.cargo/bin/rustc"
        ln -s "$PLACE/toolchain" "$home/.rustup/toolchains/$UP_TEST_TOOLCHAIN-x86_64-unknown-linux-gnu"
        chown -hR "$owner:$owner" "$home/.cargo" "$home/.rustup"
    fi
    git config --system safe.directory '*'
    typed "git clone -q $PLACE/plerion.git" || fail "git clone"
    git config --system --unset safe.directory
    rm -f /etc/gitconfig
}

stage_first() {
    [ "$UP_TEST_MACHINE" = plain ] || wait_for 60 "there is a network" apt-get -q update
    prepare
    packages_installed >"$PLACE/packages.fresh"
    dpkg --verify >"$PLACE/verify.fresh" || true
    if [ "$UP_TEST_MACHINE" = vm ]; then
        # With the packages alone, what make down leaves can be compared to the letter.
        typed "PLERION_BINARY=$UP_TEST_BINARY packaging/up/up.sh --until packages" || fail "up.sh --until packages ended with $?"
        snapshot "$PLACE/snapshot.packages"
    fi
    make_up
    check_up
    cut -f 1,2 "$UP_DIR/manifest" | grep -v '^process' >"$PLACE/manifest.first"
    make_up
    check_up
    cut -f 1,2 "$UP_DIR/manifest" | grep -v '^process' >"$PLACE/manifest.second"
    compare "$PLACE/manifest.first" "$PLACE/manifest.second" "the second run has made nothing more"
    readme_next_steps
    echo restarted >"$PLACE/stage"
    if systemd_runs; then
        echo restart >"$PLACE/result"
        sync
        systemctl --no-block reboot
        exit 0
    fi
}

stage_restarted() {
    if ! systemd_runs; then
        purge_test
        make_up
        check_up
    else
        wait_for "$START_SECONDS" "after the restart the front-end answers" cloud onehost list
        wait_for "$START_SECONDS" "after the restart the host is monitored" \
            bash -c 'runuser -u oneadmin -- env HOME=/var/lib/one onehost show 0 | grep -E "^STATE +: MONITORED"'
        wait_for "$START_SECONDS" "after the restart first-vm runs by itself" \
            bash -c 'runuser -u oneadmin -- env HOME=/var/lib/one onevm show first-vm | grep -E "^LCM_STATE +: RUNNING"'
        cloud onevm list
        make_up
        check_up
    fi
    make_down
    check_down
    snapshot "$PLACE/snapshot.down"
    dpkg --verify >"$PLACE/verify.down" || true
    compare "$PLACE/verify.fresh" "$PLACE/verify.down" "no file of a package has changed"
    [ ! -f "$PLACE/snapshot.packages" ] || compare "$PLACE/snapshot.packages" "$PLACE/snapshot.down" "make down leaves what was there before make up"
    must "make down with nothing there" typed "$([ "$owner" = root ] || echo sudo) make down"
    # All packages are there now: the second time, all has to be as before.
    make_up
    check_up
    make_down
    check_down
    snapshot "$PLACE/snapshot.again"
    compare "$PLACE/snapshot.down" "$PLACE/snapshot.again" "make up and make down leave all as it was"
    end passed
}

trap 'fail "line $LINENO"' ERR
case $(cat "$PLACE/stage" 2>/dev/null) in
    '')
        stage_first
        stage_restarted
        ;;
    *) stage_restarted ;;
esac
