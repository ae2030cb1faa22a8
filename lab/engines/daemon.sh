# Servers in the background: started in a session of their own, known by pid and start time, stopped by pid.
# shellcheck shell=bash

pid_file() {
    printf '%s/run/%s.pid' "$SHOP_STATE" "$1"
}

# Together with the pid this tells a process from a later one that got the same number.
started_at() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) }
    cut -d' ' -f20 <<<"$stat"
}

# Prints the pid of a daemon of ours that runs, else fails.
daemon_pid() {
    local pid since
    read -r pid since 2>/dev/null <"$(pid_file "$1")" || return 1
    [[ $(started_at "$pid") == "$since" ]] || return 1
    [[ $(cut -d' ' -f3 "/proc/$pid/stat" 2>/dev/null) != Z ]] || return 1
    printf '%s' "$pid"
}

# daemon_start NAME COMMAND...
daemon_start() {
    local name=$1 pid
    shift
    mkdir -p "$SHOP_STATE/run" "$LOG_DIR"
    [[ ! -e $LOG_DIR/$name.log ]] || mv "$LOG_DIR/$name.log" "$LOG_DIR/$name.log.old"
    (
        drop_locks
        ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
        exec setsid "$@"
    ) >"$LOG_DIR/$name.log" 2>&1 </dev/null &
    pid=$!
    disown "$pid"
    printf '%s %s\n' "$pid" "$(started_at "$pid")" >"$(pid_file "$name")"
}

# daemon_stop NAME SIGNAL: asks first, and ends it when the time is over.
daemon_stop() {
    local name=$1 pid deadline=$((SECONDS + SHOP_STOP_SECONDS))
    if pid=$(daemon_pid "$name"); then
        kill -s "$2" "$pid"
        while daemon_pid "$name" >/dev/null; do
            if ((SECONDS >= deadline)); then
                say "$name did not stop within $SHOP_STOP_SECONDS s; killing it"
                kill -s KILL "$pid"
                deadline=$((SECONDS + SHOP_STOP_SECONDS))
            fi
            sleep 0.1
        done
    fi
    rm -f "$(pid_file "$name")"
}

# daemon_ready NAME CHECK: waits until the server really answers.
daemon_ready() {
    local name=$1 check=$2 deadline=$((SECONDS + SHOP_READY_SECONDS))
    until "$check"; do
        if ! daemon_pid "$name" >/dev/null; then
            tail -n 20 "$LOG_DIR/$name.log" >&2
            die "$name stopped while starting; its log: $LOG_DIR/$name.log"
        fi
        ((SECONDS < deadline)) || die "$name did not answer within $SHOP_READY_SECONDS s; its log: $LOG_DIR/$name.log"
        sleep 0.1
    done
}

# port_free NAME PORT VARIABLE
port_free() {
    ! tcp_open 127.0.0.1 "$2" || die "port $2 for $1 is taken by something else: stop it, or set $3"
}
