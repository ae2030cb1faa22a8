# Servers that the caller runs and names by environment: used as they are, never started or stopped.
# shellcheck shell=bash

given_complete() {
    [[ -n ${MYSQL_DSN-} && -n ${KAFKA_BROKERS-} && -n ${MONGO_URI-} ]] && ! given_is_ours
}

# Addresses that `engines env` printed earlier mean the engines of this project.
given_is_ours() {
    [[ $MYSQL_DSN == "$OWN_MYSQL_DSN" && $KAFKA_BROKERS == "$OWN_KAFKA_BROKERS" && $MONGO_URI == "$OWN_MONGO_URI" ]]
}

# given_addresses URL_OR_LIST DEFAULT_PORT: one "host port" a line.
given_addresses() {
    local list=${1#*://} address
    list=${list##*@}
    list=${list%%[/?]*}
    for address in ${list//,/ }; do
        [[ $address == *:* ]] || address=$address:$2
        printf '%s %s\n' "${address%:*}" "${address##*:}"
    done
}

given_answers() {
    local host port
    [[ $1 != mongodb+srv://* ]] || return 0
    while read -r host port; do
        ! tcp_open "$host" "$port" || return 0
    done < <(given_addresses "$1" "$2")
    return 1
}

given_status() {
    local name code=0
    for name in MYSQL_DSN:3306 KAFKA_BROKERS:9092 MONGO_URI:27017; do
        local variable=${name%:*}
        if given_answers "${!variable}" "${name#*:}"; then
            printf '%-13s reachable\n' "$variable"
        else
            printf '%-13s not reachable\n' "$variable"
            code=3
        fi
    done
    return "$code"
}

given_up() {
    local report
    report=$(given_status) || die "the servers given by environment are not all there: $(grep 'not reachable' <<<"$report" | awk '{ printf "%s ", $1 }')not reachable"
    say "using the servers given by MYSQL_DSN, KAFKA_BROKERS and MONGO_URI"
}

given_logs() {
    die "the servers were given by MYSQL_DSN, KAFKA_BROKERS and MONGO_URI: their logs are not here"
}
