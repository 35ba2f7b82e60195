# shellcheck shell=bash
# The front-end as a service. To be sourced.

readonly FRONTEND_SECONDS=60

frontend_running() {
    if systemd_runs; then
        manifest_has unit plerion.service && systemctl -q is-active plerion.service
    else
        process_find plerion >/dev/null
    fi
}

frontend_start() {
    # Undone after the front-end has been stopped, as "cloud" is before.
    manifest_add guests "$STATE_DIR" "remove the libvirt guests that have disks under $STATE_DIR"
    if systemd_runs; then
        frontend_unit | unit_install plerion.service
        [ "${BINARY_CHANGED-}" != yes ] || systemctl restart plerion.service
    else
        frontend_by_hand
    fi
    wait_until "$FRONTEND_SECONDS" frontend_answers || frontend_fail
    manifest_add cloud "$STATE_DIR" "terminate all VMs of the front-end"
}

frontend_unit() {
    cat <<UNIT
[Unit]
Description=Plerion cloud front-end
After=network-online.target libvirtd.service virtqemud.socket ssh.service plerion-sshd.service plerion-bridge.service
Wants=network-online.target
[Service]
User=$RUN_USER
Group=$RUN_USER
WorkingDirectory=$STATE_DIR
ExecStart=$BINARY serve
Restart=on-failure
KillMode=mixed
LimitNOFILE=65536
[Install]
WantedBy=multi-user.target
UNIT
}

frontend_by_hand() {
    local pid
    pid=$(process_find plerion || true)
    if [ -n "$pid" ]; then
        [ "${BINARY_CHANGED-}" = yes ] || return 0
        process_stop "$pid"
    fi
    (cd "$STATE_DIR" && exec setsid setpriv --reuid="$RUN_USER" --regid="$RUN_USER" --init-groups \
        env -i HOME="$STATE_DIR" USER="$RUN_USER" LOGNAME="$RUN_USER" SHELL=/bin/bash LANG=C.UTF-8 \
        PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin \
        "$BINARY" serve </dev/null >>"$UP_DIR/serve.out" 2>&1) &
    FRONTEND_PID=$!
    process_record plerion "$FRONTEND_PID"
}

# frontend_answers: 2 when it has ended, so that nobody waits for it.
frontend_answers() {
    if as_user timeout 5 oneuser show 0 >/dev/null 2>&1; then return 0; fi
    frontend_running || return 2
    return 1
}

frontend_fail() {
    local log
    for log in "$UP_DIR/serve.out" "$LOG_DIR/oned.log"; do
        [ ! -s "$log" ] || { printf -- '--- %s\n' "$log"; tail -n 15 "$log"; } >&2
    done
    ! systemd_runs || journalctl -n 15 --no-pager -u plerion.service >&2 || true
    die frontend_silent "$FRONTEND_SECONDS" "$(as_user timeout 5 oneuser show 0 2>&1 | head -n 3)"
}
