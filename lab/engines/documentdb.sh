# The MongoDB side: PostgreSQL with DocumentDB, from the root file system, and FerretDB in front of it.
# shellcheck shell=bash

POSTGRES_DATA=$SHOP_STATE/postgres
POSTGRES_BIN=/usr/lib/postgresql/18/bin

postgres_enter() {
    local data=$1
    shift
    "$ENGINES_DIR/enter" "$ROOTFS" postgres "$data:/srv/postgres" -- "$@"
}

postgres_initialize() {
    local part=$POSTGRES_DATA.part
    rm -rf "$part"
    mkdir -p "$part"
    chown -R "$(rootfs_ids postgres)" "$part"
    postgres_enter "$part" "$POSTGRES_BIN/initdb" --auth=trust --encoding=UTF8 --locale=C.UTF-8 \
        --pgdata=/srv/postgres/data
    mv "$part" "$POSTGRES_DATA"
}

postgres_start() {
    daemon_pid postgres >/dev/null && return
    port_free postgres "$SHOP_POSTGRES_PORT" SHOP_POSTGRES_PORT
    [[ -d $POSTGRES_DATA ]] || step "PostgreSQL data directory" postgres_initialize
    local setting settings options=()
    # shellcheck disable=SC2054
    settings=(
        listen_addresses=127.0.0.1
        port="$SHOP_POSTGRES_PORT"
        unix_socket_directories=/srv/postgres
        max_connections=300
        shared_buffers=256MB
        shared_preload_libraries=pg_cron,pg_documentdb_core,pg_documentdb,pg_documentdb_extended_rum
        cron.database_name=postgres
        cron.host=/srv/postgres
        cron.log_run=off
        cron.log_statement=off
        log_checkpoints=off
        timezone=UTC
    )
    for setting in "${settings[@]}"; do
        options+=(-c "$setting")
    done
    postgres_forget_killed
    daemon_start postgres "$ENGINES_DIR/enter" "$ROOTFS" postgres "$POSTGRES_DATA:/srv/postgres" -- \
        "$POSTGRES_BIN/postgres" -D /srv/postgres/data "${options[@]}"
}

# After kill -9 its children take a moment to notice; then only its lock files are left, and they would stop a start.
postgres_forget_killed() {
    local pid_file=$POSTGRES_DATA/data/postmaster.pid deadline=$((SECONDS + 10))
    [[ -s $pid_file ]] || return 0
    while postgres_memory_in_use "$pid_file"; do
        ((SECONDS < deadline)) || return 0
        sleep 0.1
    done
    rm -f "$pid_file" "$POSTGRES_DATA"/.s.PGSQL.*.lock
}

# Line 7 of the pid file names the shared memory that every process of that server is attached to.
postgres_memory_in_use() {
    local id
    id=$(awk 'NR == 7 { print $2 }' "$1")
    [[ -n $id ]] && awk -v id="$id" '$2 == id && $7 > 0 { found = 1 } END { exit !found }' /proc/sysvipc/shm
}

postgres_query() {
    postgres_enter "$POSTGRES_DATA" "$POSTGRES_BIN/psql" --no-psqlrc --quiet --tuples-only --no-align \
        --host=/srv/postgres --port="$SHOP_POSTGRES_PORT" --set=ON_ERROR_STOP=1 --command="$1" postgres
}

postgres_answers() {
    postgres_query 'SELECT 1' >/dev/null 2>&1
}

postgres_ready() {
    [[ $(postgres_query "SELECT count(*) FROM pg_extension WHERE extname = 'documentdb'" 2>/dev/null) == 1 ]]
}

postgres_extend() {
    postgres_ready || step "DocumentDB extension" postgres_query 'CREATE EXTENSION IF NOT EXISTS documentdb CASCADE'
}

ferretdb_start() {
    daemon_pid ferretdb >/dev/null && return
    port_free ferretdb "$SHOP_MONGO_PORT" SHOP_MONGO_PORT
    mkdir -p "$SHOP_STATE/ferretdb"
    # Its own pool is 4 connections unless told otherwise.
    daemon_start ferretdb "$(go_program ferretdb)" \
        -listen "127.0.0.1:$SHOP_MONGO_PORT" \
        -postgres "postgres://postgres@127.0.0.1:$SHOP_POSTGRES_PORT/postgres?pool_max_conns=100" \
        -state-dir "$SHOP_STATE/ferretdb"
}

# An OP_MSG with {find: "ready", $db: "shop"}: the answer comes from PostgreSQL, and holds "cursor".
ferretdb_ready() {
    local answer message
    message='\x38\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0' # 56 bytes, request 1, op 2013
    message+='\0\0\0\0\0'                             # no flags, one document
    message+='\x23\0\0\0'                             # of 35 bytes
    message+='\x02find\0\x06\0\0\0ready\0'
    # shellcheck disable=SC2016
    message+='\x02$db\0\x05\0\0\0shop\0'
    message+='\0'
    answer=$(ask "$SHOP_MONGO_PORT" "$message" 60) || return
    [[ $answer == *637572736f72* ]]
}
