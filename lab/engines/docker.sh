# The servers as containers of docker-compose.yml.
# shellcheck shell=bash

DOCKER_SERVICES=(mysql kafka mongo)

docker_answers() {
    have docker && timeout 5 docker info >/dev/null 2>&1
}

docker_compose() {
    (cd "$PROJECT_DIR" && docker compose "$@")
}

docker_running() {
    [[ -n $(docker_compose ps --status running --quiet "${DOCKER_SERVICES[@]}" 2>/dev/null) ]]
}

docker_up() {
    docker compose version >/dev/null 2>&1 || die "Docker is there, but not its compose plugin: install it, or set SHOP_ENGINES=native"
    docker_compose up --detach --wait "${DOCKER_SERVICES[@]}" || die "docker compose could not start ${DOCKER_SERVICES[*]}"
    docker_users_hint
}

# docker_mysql USER STATEMENT: what the server answers; all passwords in docker-compose.yml are the same.
docker_mysql() {
    docker_compose exec -T --env MYSQL_PWD=shop mysql mysql --protocol=TCP --host=127.0.0.1 --user="$1" \
        --batch --skip-column-names --execute="$2" </dev/null 2>/dev/null
}

# What is in the compose file about users happens once, when the volume is made. Says what helps one that is older.
docker_users_hint() {
    local grants tables
    ! docker_mysql shop_api 'SELECT 1' >/dev/null || return 0
    grants=$(docker_mysql shop 'SHOW GRANTS') || return 0
    if [[ $grants != *'CREATE USER'* ]]; then
        say "MySQL's volume was made before programs had users of their own, and none can be made: \`docker compose down --volumes\` deletes all data, and the next start makes it anew"
        return
    fi
    # Without tables nobody has migrated yet, which makes the users too.
    tables=$(docker_mysql shop "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'shop'") || return 0
    ((tables == 0)) ||
        say "MySQL does not know the programs' users or their passwords: \`make migrate\`, or \`api migrate --grants --passwords FILE\`, makes them"
}

docker_down() {
    docker_compose stop "${DOCKER_SERVICES[@]}"
}

docker_status() {
    docker_compose ps "${DOCKER_SERVICES[@]}"
    docker_running || return 3
}

docker_logs() {
    docker_compose logs --tail 20 --follow "${@:-${DOCKER_SERVICES[@]}}"
}
