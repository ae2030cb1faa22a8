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
