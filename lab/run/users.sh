# The programs' own users in MySQL, and their passwords: made up once per data directory, and set by `api migrate --grants`.
# shellcheck shell=bash

USERS_PASSWORDS=$SHOP_STATE/mysql-passwords
USERS_PROGRAMS=(api outbox-relay stock-reservation order-saga projector ops)

users_passwords() {
    [[ ! -s $USERS_PASSWORDS ]] || return 0
    local program part=$USERS_PASSWORDS.part
    mkdir -p "$SHOP_STATE"
    (
        umask 077
        for program in "${USERS_PROGRAMS[@]}"; do
            printf '%s %s\n' "$program" "$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
        done >"$part"
    )
    mv "$part" "$USERS_PASSWORDS"
}

# users_dsn PROGRAM: the address of MySQL for a program, from the operator's in MYSQL_DSN.
users_dsn() {
    local password
    password=$(awk -v program="$1" '$1 == program { print $2 }' "$USERS_PASSWORDS")
    printf 'mysql://shop_%s:%s@%s' "${1//-/_}" "$password" "${MYSQL_DSN##*@}"
}
