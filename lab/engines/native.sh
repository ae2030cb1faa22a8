# The servers as processes of this machine.
# shellcheck shell=bash

NATIVE_SERVERS=(mysql kafka postgres ferretdb)

# native_possible WHAT: says in one line why something cannot be installed here.
native_possible() {
    is_root || die "$1 is missing, and not root: install it, or run as root"
    have apt-get || die "$1 is missing, and so is apt-get: install it, or start Docker"
}

native_check() {
    is_root ||
        die "neither a Docker daemon nor root: start Docker, run as root, or set MYSQL_DSN, KAFKA_BROKERS and MONGO_URI"
    [[ -d $ROOTFS ]] || have apt-get ||
        die "neither a Docker daemon nor apt: start Docker, or set MYSQL_DSN, KAFKA_BROKERS and MONGO_URI"
    unshare --mount true 2>/dev/null ||
        die "root, but not allowed to mount (a container?): start Docker, or set MYSQL_DSN, KAFKA_BROKERS and MONGO_URI"
}

native_install() {
    rootfs_installed && kafka_installed && [[ -x $(go_program ferretdb) ]] && return
    (
        take_lock "installation" "$SHOP_CACHE/install.lock"
        native_install_all
    )
}

# Downloading and compiling overlap where the host's own tools can be used.
native_install_all() {
    local jobs=() job
    if host_go; then
        go_install ferretdb . &
        jobs+=($!)
    fi
    if host_java && have mvn; then
        kafka_install &
        jobs+=($!)
    fi
    rootfs_install
    for job in "${jobs[@]}"; do
        wait "$job"
    done
    go_install ferretdb .
    kafka_install
}

native_running() {
    local server
    for server in "${NATIVE_SERVERS[@]}"; do
        ! daemon_pid "$server" >/dev/null || return 0
    done
    return 1
}

native_all_ready() {
    local server
    for server in "${NATIVE_SERVERS[@]}"; do
        daemon_pid "$server" >/dev/null && "${server}_ready" || return
    done
}

native_up() {
    if native_all_ready; then
        mysql_ensure_rights
        mysql_ensure_certificates
        return
    fi
    native_check
    native_install
    reserve_ports "$SHOP_MYSQL_PORT" "$SHOP_KAFKA_PORT" "$SHOP_KAFKA_CONTROLLER_PORT" \
        "$SHOP_POSTGRES_PORT" "$SHOP_MONGO_PORT"
    mysql_start
    kafka_start
    postgres_start
    daemon_ready postgres postgres_answers
    postgres_extend
    ferretdb_start
    daemon_ready mysql mysql_ready
    mysql_ensure_rights
    daemon_ready kafka kafka_ready
    daemon_ready ferretdb ferretdb_ready
}

native_down() {
    daemon_stop ferretdb TERM
    daemon_stop postgres INT # a fast shutdown: does not wait for clients
    daemon_stop kafka TERM
    daemon_stop mysql TERM
}

native_status() {
    local server pid code=0
    for server in "${NATIVE_SERVERS[@]}"; do
        if ! pid=$(daemon_pid "$server"); then
            printf '%-9s down\n' "$server"
            code=3
        elif "${server}_ready"; then
            printf '%-9s up       pid %s\n' "$server" "$pid"
        else
            printf '%-9s no answer  pid %s\n' "$server" "$pid"
            code=3
        fi
    done
    return "$code"
}

native_logs() {
    local server files=()
    for server in "${@:-${NATIVE_SERVERS[@]}}"; do
        files+=("$LOG_DIR/$server.log")
    done
    tail -n 20 -F "${files[@]}"
}
