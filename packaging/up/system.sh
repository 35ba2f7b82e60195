# shellcheck shell=bash
# Packages, the build, the user and the way in by SSH. To be sourced.

readonly SSH_PORT=22
readonly SSHD_SECONDS=10
readonly PACKAGES=(
    # A host of guests.
    qemu-system-x86 qemu-utils libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients
    openssh-server openssh-client sudo iproute2 nftables iptables ipset iputils-ping genisoimage
    # The guest image.
    busybox-static syslinux syslinux-common mtools dosfstools fdisk cpio kmod zstd xz-utils
    # The build.
    gcc libc6-dev make ca-certificates
)

apt_run() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@" >>"$UP_DIR/apt.log" 2>&1 ||
        die apt_failed "$*" "$UP_DIR/apt.log" "$(tail -n 3 "$UP_DIR/apt.log")"
}

# packages_install: what is missing, with all that comes along on the list.
packages_install() {
    local name missing=() new had_sshd=yes policy=/usr/sbin/policy-rc.d
    for name in "${PACKAGES[@]}"; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' || missing+=("$name")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        say packages_present
        return 0
    fi
    say packages_missing "${missing[*]}"
    apt_run update
    new=$(apt-get -s install --no-install-recommends "${missing[@]}" | awk '$1 == "Inst" && $3 !~ /^\[/ { print $2 }')
    for name in $new; do
        manifest_add package "$name" "kept; removed with PURGE_PACKAGES=1"
    done
    # A machine without an SSH server must not get one on all its addresses.
    [ -x /usr/sbin/sshd ] || had_sshd=no
    if [ "$had_sshd" = no ] && [ ! -e "$policy" ]; then
        manifest_add marked "$policy" "rm -f $policy, if it is still ours"
        ssh_policy >"$policy"
        chmod 755 "$policy"
        apt_run install -y --no-install-recommends "${missing[@]}"
        rm -f "$policy"
    else
        apt_run install -y --no-install-recommends "${missing[@]}"
    fi
    if [ "$had_sshd" = no ] && systemd_runs; then
        systemctl disable --quiet ssh.service ssh.socket 2>/dev/null || true
    fi
}

# ssh_policy: asked by the packages whether they may start their daemons.
ssh_policy() {
    cat <<POLICY
#!/bin/sh
$BLOCK_BEGIN
case \$1 in ssh | ssh.service | ssh.socket) exit 101 ;; esac
exit 0
$BLOCK_END
POLICY
}

binary_build() {
    local cargo
    if [ -n "${PLERION_BINARY-}" ]; then
        BUILT=$PLERION_BINARY
    else
        cargo=$(cargo_find)
        build_run "$cargo" build --release --locked || die build_failed
        BUILT=$CHECKOUT/target/release/plerion
    fi
    local name
    program_install "$BUILT" "$BINARY"
    for name in "${COMMAND_NAMES[@]}"; do
        manifest_add link "/usr/local/bin/$name" "rm -f /usr/local/bin/$name"
        ln -sfn plerion "/usr/local/bin/$name"
    done
}

# program_install FROM TO: owned by root; a running copy keeps its file.
program_install() {
    if cmp -s "$1" "$2"; then return 0; fi
    manifest_add file "$2" "rm -f $2"
    install -o root -g root -m 0755 "$1" "$2.plerion-up"
    mv -f "$2.plerion-up" "$2"
    # Read where the front-end is started.
    # shellcheck disable=SC2034
    BINARY_CHANGED=yes
}

user_make() {
    manifest_add user "$RUN_USER" "userdel $RUN_USER, remove what it left in /tmp and /var/tmp"
    getent group "$RUN_USER" >/dev/null || groupadd --system "$RUN_USER"
    getent passwd "$RUN_USER" >/dev/null ||
        useradd --system --gid "$RUN_USER" --home-dir "$STATE_DIR" --no-create-home --shell /bin/bash "$RUN_USER"
    # No password, yet not "locked": sshd refuses locked accounts their keys.
    usermod -p '*' "$RUN_USER"
    usermod -a -G libvirt,kvm "$RUN_USER"
    manifest_add tree "$STATE_DIR" "rm -rf $STATE_DIR"
    manifest_add tree "$LOG_DIR" "rm -rf $LOG_DIR"
    manifest_add tree "$CONFIG_DIR" "rm -rf $CONFIG_DIR"
    manifest_add processes "$RUN_USER" "end all processes of $RUN_USER"
    install -d -o "$RUN_USER" -g "$RUN_USER" -m 0750 "$LOG_DIR" "$CONFIG_DIR"
    # QEMU and libvirt have to pass through.
    install -d -o "$RUN_USER" -g "$RUN_USER" -m 0755 "$STATE_DIR"
}

user_key_make() {
    # As the user itself: root must not write through links in its home.
    # shellcheck disable=SC2016
    as_user bash -euc '
        umask 077
        mkdir -p .ssh
        cd .ssh
        [ -f id_ed25519 ] || ssh-keygen -q -t ed25519 -N "" -C "$USER@$1" -f id_ed25519
        touch authorized_keys known_hosts
        grep -qxF -f id_ed25519.pub authorized_keys || cat id_ed25519.pub >>authorized_keys
    ' key-make "$(hostname)"
}

root_helper_install() {
    local sudoers=/etc/sudoers.d/plerion-node-root new
    program_install "$BUILT" "$ROOT_HELPER"
    new=$(mktemp)
    # The empty string allows the command without arguments only.
    printf '%s ALL=(root) NOPASSWD: %s ""\n' "$RUN_USER" "$ROOT_HELPER" >"$new"
    visudo -q -c -f "$new" >/dev/null || die sudoers_bad "$new"
    file_write "$sudoers" 0440 <"$new"
    rm -f "$new"
    as_user sudo -n -l "$ROOT_HELPER" >/dev/null 2>&1 || die sudo_refused "$sudoers"
}

# sshd_ensure: uses the machine's own server; where none runs, one for 127.0.0.1 only.
sshd_ensure() {
    local key
    for key in /etc/ssh/ssh_host_{rsa,ecdsa,ed25519}_key; do
        [ -f "$key" ] || manifest_add file "$key" "rm -f $key"
        [ -f "$key" ] || manifest_add file "$key.pub" "rm -f $key.pub"
    done
    ssh-keygen -A >/dev/null
    SSHD_OWN=no
    if process_find sshd >/dev/null || manifest_has unit plerion-sshd.service; then
        SSHD_OWN=yes
    fi
    if [ "$SSHD_OWN" = no ] && port_listens "$SSH_PORT"; then
        say sshd_system
    else
        sshd_start
    fi
    wait_until "$SSHD_SECONDS" port_listens "$SSH_PORT" || die sshd_silent "$SSH_PORT" "$UP_DIR/sshd.log"
    host_keys_pin
}

sshd_start() {
    local config=$UP_DIR/sshd_config
    SSHD_OWN=yes
    cat >"$config" <<CONFIG
ListenAddress 127.0.0.1:$SSH_PORT
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile $UP_DIR/sshd.pid
AllowUsers $RUN_USER
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
UsePAM no
X11Forwarding no
Subsystem sftp internal-sftp
CONFIG
    if systemd_runs; then
        unit_install plerion-sshd.service <<UNIT
[Unit]
Description=SSH on 127.0.0.1 for the Plerion front-end
[Service]
RuntimeDirectory=sshd
RuntimeDirectoryPreserve=yes
ExecStart=/usr/sbin/sshd -D -f $config
Restart=on-failure
[Install]
WantedBy=multi-user.target
UNIT
    elif ! process_find sshd >/dev/null; then
        [ -d /run/sshd ] || manifest_add dir /run/sshd "rmdir /run/sshd"
        mkdir -p /run/sshd
        setsid /usr/sbin/sshd -D -f "$config" -E "$UP_DIR/sshd.log" </dev/null >/dev/null 2>&1 &
        process_record sshd $!
    fi
    say sshd_own "127.0.0.1:$SSH_PORT"
}

# unit_install NAME: a unit file from stdin; started, and at each boot.
unit_install() {
    local file=/etc/systemd/system/$1 new
    manifest_add unit "$1" "systemctl disable --now $1; rm $file"
    new=$(cat)
    if [ "$new" != "$(cat "$file" 2>/dev/null)" ]; then
        printf '%s\n' "$new" | file_write "$file" 0644
        systemctl daemon-reload
        systemctl enable --quiet "$1"
        systemctl restart "$1"
    else
        systemctl start "$1"
    fi
}

# host_keys_pin: known_hosts gets only keys that this machine's own files hold.
host_keys_pin() {
    local name line known=$STATE_DIR/.ssh/known_hosts own
    own=$(awk '{ print $1, $2 }' /etc/ssh/ssh_host_*_key.pub)
    for name in "$(hostname)" localhost 127.0.0.1; do
        while read -r line; do
            if grep -qxF "${line#* }" <<<"$own"; then
                grep -qxF "$line" "$known" || as_user tee -a "$known" <<<"$line" >/dev/null
            else
                warn host_key_foreign "$name"
                break
            fi
        done < <(ssh-keyscan -T 5 -p "$SSH_PORT" "$name" 2>/dev/null | grep -v '^#')
    done
}

# host_name_choose: sets HOST_NAME to a name under which oneadmin gets in.
host_name_choose() {
    local name answer=
    for name in "$(hostname)" localhost; do
        if answer=$(as_user ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=5 -p "$SSH_PORT" \
            "$name" true 2>&1 </dev/null); then
            # Read where the host is added.
            # shellcheck disable=SC2034
            HOST_NAME=$name
            say host_name "$RUN_USER" "$name"
            return 0
        fi
    done
    die ssh_refused "$RUN_USER" "$answer"
}
