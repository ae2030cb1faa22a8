# The programs' own users in MySQL and their passwords, which `api migrate --grants` sets. Needs the engines' settings.sh and given.sh.
# shellcheck shell=bash

USERS_PROGRAMS=(api outbox-relay stock-reservation order-saga projector ops)

# Users belong to the whole server: on one that the caller gave they are the caller's business, and so are their passwords.
users_ours() {
    ! given_complete
}

users_on_docker() {
    [[ -s $MODE_FILE && $(cat "$MODE_FILE") == docker ]]
}

# users_file: where the passwords are, or will be.
users_file() {
    if users_on_docker; then
        printf '%s' "$SHOP_STATE/mysql-passwords.docker"
    else
        printf '%s' "$SHOP_STATE/mysql-passwords"
    fi
}

# users_password: a new one. On Docker the one in docker-compose.yml, whose programs log in with it at the same server.
users_password() {
    if users_on_docker; then
        printf shop
    else
        od -An -N16 -tx1 /dev/urandom | tr -d ' \n'
    fi
}

# Makes the passwords up, once per data directory.
users_passwords() {
    local program file part
    file=$(users_file)
    [[ ! -s $file ]] || return 0
    part=$file.part
    mkdir -p "$SHOP_STATE"
    (
        umask 077
        for program in "${USERS_PROGRAMS[@]}"; do
            printf '%s %s\n' "$program" "$(users_password)"
        done >"$part"
    )
    mv "$part" "$file"
}

# users_dsn PROGRAM: the address of MySQL for a program: the operator's in MYSQL_DSN with the program's own user, if that is ours.
users_dsn() {
    local password
    if ! users_ours; then
        printf '%s' "$MYSQL_DSN"
        return
    fi
    password=$(awk -v program="$1" '$1 == program { print $2 }' "$(users_file)")
    printf 'mysql://shop_%s:%s@%s' "${1//-/_}" "$password" "${MYSQL_DSN##*@}"
}
