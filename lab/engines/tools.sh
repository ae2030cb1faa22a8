# What every part needs: words for the user, steps with their time, locks, network checks, system packages.
# shellcheck shell=bash

say() {
    printf '%s: %s\n' "${SPEAKER:-engines}" "$*" >&2
}

die() {
    say "$*"
    exit "$EX_UNAVAILABLE"
}

# step NAME COMMAND...: runs a long command, its output in a log, and says how long it took.
# Never call it in a condition: errexit would be off inside.
step() {
    local name=$1 log status started=$SECONDS
    shift
    log=$LOG_DIR/install-${name//[^A-Za-z0-9]/-}.log
    mkdir -p "$LOG_DIR"
    say "$name ..."
    set +e
    (
        set -euo pipefail
        "$@"
    ) >"$log" 2>&1 </dev/null
    status=$?
    set -e
    if ((status != 0)); then
        tail -n 20 "$log" >&2
        die "$name failed after $((SECONDS - started)) s; all of its output: $log"
    fi
    say "$name ... $((SECONDS - started)) s"
}

# take_lock NAME FILE: waits for the lock and holds it for the life of this shell.
take_lock() {
    local fd
    mkdir -p "$(dirname "$2")"
    exec {fd}>"$2"
    if ! flock --nonblock "$fd"; then
        say "waiting for another $1 to finish"
        flock "$fd"
    fi
    LOCK_FDS+=("$fd")
}
LOCK_FDS=()

# Daemons must not inherit the locks of the shell that starts them.
drop_locks() {
    local fd
    for fd in "${LOCK_FDS[@]}"; do
        exec {fd}>&-
    done
}

have() {
    command -v "$1" >/dev/null 2>&1
}

is_root() {
    [[ $(id -u) == 0 ]]
}

# fingerprint FILE...: names a cached result after what it was made from.
fingerprint() {
    cat "$@" | sha256sum | cut -c1-12
}

tcp_open() {
    # shellcheck disable=SC2016
    timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null
}

# ask PORT BYTES COUNT: sends bytes (printf escapes) and prints the first COUNT bytes of the answer in hex.
ask() {
    # shellcheck disable=SC2016
    timeout 5 bash -c '
        exec 3<>"/dev/tcp/127.0.0.1/$0"
        printf "$1" >&3
        head -c "$2" <&3 | od -An -v -tx1 | tr -d " \n"
    ' "$1" "$2" "$3" 2>/dev/null
}

# version_at_least WANTED FOUND
version_at_least() {
    [[ $(printf '%s\n%s\n' "$1" "$2" | sort --version-sort | head -n 1) == "$1" ]]
}

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get install --yes --no-install-recommends "$@" || {
        apt-get update
        apt-get install --yes --no-install-recommends "$@"
    }
}

BUILD_PACKAGES=(build-essential pkg-config libssl-dev zlib1g-dev)

# What the Rust build needs from the system: OpenSSL and zlib headers, a C compiler.
need_build_packages() {
    have dpkg-query || return 0
    local package missing=()
    for package in "${BUILD_PACKAGES[@]}"; do
        dpkg-query --show --showformat='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    ((${#missing[@]} > 0)) || return 0
    is_root || die "missing system packages, and not root: apt-get install ${missing[*]}"
    step "system packages ${missing[*]}" apt_install "${missing[@]}"
}

NODE_WANTED=18

need_node() {
    local found
    found=$(node --version 2>/dev/null | sed -n 's/^v\([0-9]*\).*/\1/p') || true
    if ((${found:-0} >= NODE_WANTED)) && have npm; then
        return 0
    fi
    if ! is_root || ! have apt-get; then
        die "Node.js $NODE_WANTED or newer with npm is missing, and this is not root with apt: install it"
    fi
    step "Node.js and npm" apt_install nodejs npm
}

need_cargo() {
    have cargo || die "cargo is missing: install Rust with rustup; rust-toolchain.toml names the version"
}
