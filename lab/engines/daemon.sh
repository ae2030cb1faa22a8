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

# daemon_note NAME PID: from now on that process is the daemon of this name.
daemon_note() {
    mkdir -p "$SHOP_STATE/run"
    printf '%s %s\n' "$2" "$(started_at "$2")" >"$(pid_file "$1")"
}

# Prints the pid of a daemon of ours that runs, else fails.
daemon_pid() {
    local pid since
    read -r pid since 2>/dev/null <"$(pid_file "$1")" || return 1
    [[ $(started_at "$pid") == "$since" ]] || return 1
    [[ $(cut -d' ' -f3 "/proc/$pid/stat" 2>/dev/null) != Z ]] || return 1
    printf '%s' "$pid"
}

# Where shares of the processors are given out, if that can be done at all.
CPU_GROUPS=/sys/fs/cgroup/cpu

# enter_cpu_group NAME PID: a daemon has one share of the processors, as a container does, however many sessions it makes. Linux gives a
# share to each session else, and each backend of PostgreSQL is one. Without the right to it all goes on as before.
enter_cpu_group() {
    local group=$CPU_GROUPS/shop-$1-$2
    { [[ -w $CPU_GROUPS/cgroup.procs ]] && mkdir "$group" && echo "$2" >"$group/cgroup.procs"; } 2>/dev/null || true
}

# remove_cpu_groups NAME: those of it that are empty; the kernel keeps the others.
remove_cpu_groups() {
    rmdir "$CPU_GROUPS/shop-$1-"* 2>/dev/null || true
}

# Names of the daemons that this shell has started.
STARTED=' '

# daemon_start NAME COMMAND...
daemon_start() {
    local name=$1 pid
    shift
    STARTED+="$name "
    remove_cpu_groups "$name"
    mkdir -p "$LOG_DIR"
    [[ ! -e $LOG_DIR/$name.log ]] || mv "$LOG_DIR/$name.log" "$LOG_DIR/$name.log.old"
    (
        drop_locks
        ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
        enter_cpu_group "$name" "$BASHPID"
        exec setsid "$@"
    ) >"$LOG_DIR/$name.log" 2>&1 </dev/null &
    pid=$!
    disown "$pid"
    daemon_note "$name" "$pid"
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
    remove_cpu_groups "$name"
    rm -f "$(pid_file "$name")"
}

# daemon_ready NAME CHECK: waits until the server really answers. One that had been killed, and was not gone yet when it
# was to be started, is started now. A port that an old connection still holds comes free within a minute, so the server is
# started again until then.
daemon_ready() {
    local name=$1 check=$2 deadline=$((SECONDS + SHOP_READY_SECONDS))
    until "$check"; do
        if ! daemon_pid "$name" >/dev/null; then
            if [[ $STARTED != *" $name "* ]]; then
                "${name}_start"
                continue
            fi
            if ((SECONDS < deadline)) && grep -qi 'address already in use' "$LOG_DIR/$name.log"; then
                sleep 1
                "${name}_start"
                continue
            fi
            tail -n 20 "$LOG_DIR/$name.log" >&2
            die "$name stopped while starting; its log: $LOG_DIR/$name.log"
        fi
        ((SECONDS < deadline)) || die "$name did not answer within $SHOP_READY_SECONDS s; its log: $LOG_DIR/$name.log"
        sleep 0.1
    done
}

# port_free NAME PORT VARIABLE: a process that is being killed may hold its port for a moment.
port_free() {
    local deadline=$((SECONDS + 3))
    while tcp_open 127.0.0.1 "$2"; do
        ((SECONDS < deadline)) || die "port $2 for $1 is taken by something else: stop it, or set $3"
        sleep 0.1
    done
}

# reserve_ports PORT...: outgoing connections must not be given the servers' ports while those are down.
reserve_ports() {
    local file=/proc/sys/net/ipv4/ip_local_reserved_ports reserved port
    reserved=$(cat "$file" 2>/dev/null) || return 0
    for port in "$@"; do
        reserved+=,$port
    done
    echo "${reserved#,}" 2>/dev/null >"$file" || true
}
