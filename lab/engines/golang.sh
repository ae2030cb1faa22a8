# Programs that come as Go modules: built once, named after what they were built from.
# shellcheck shell=bash

GO_WANTED=1.25

host_go() {
    have go && version_at_least "$GO_WANTED" "$(GOTOOLCHAIN=local go env GOVERSION | sed 's/^go//')"
}

go_program() {
    printf '%s/bin/%s-%s' "$SHOP_CACHE" "$1" "$(fingerprint "$ENGINES_DIR/$1"/*)"
}

# go_install NAME PACKAGE: builds the module in the directory of that name.
go_install() {
    local name=$1 package=$2 program
    program=$(go_program "$name")
    [[ ! -x $program ]] || return 0
    mkdir -p "$SHOP_CACHE/bin"
    if host_go; then
        step "$name" go_build "$ENGINES_DIR/$name" "$package" "$program" env
    else
        native_possible "Go $GO_WANTED or newer"
        rootfs_install
        rootfs_command go golang-go
        step "$name" go_build "$ENGINES_DIR/$name" "$package" "$program" \
            "$ENGINES_DIR/enter" "$ROOTFS" root "$ENGINES_DIR" "$SHOP_CACHE/bin" -- env
    fi
}

# go_build DIR PACKAGE PROGRAM PREFIX...
go_build() {
    local dir=$1 package=$2 program=$3
    shift 3
    # Toolchain local: what is installed is used, never another one fetched.
    "$@" -C "$dir" CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly \
        go build -trimpath -buildvcs=false -ldflags='-s -w' -o "$program.part" "$package"
    mv "$program.part" "$program"
}
