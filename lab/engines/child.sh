# One command in the foreground whose end is waited for, whatever signal comes.
# shellcheck shell=bash disable=SC2034

CHILD=

# run_child COMMAND...: in a process group of its own, so that a signal reaches it once and reaches all of it.
# Leaves its exit code in CHILD_CODE.
run_child() {
    CHILD_CODE=0
    start_child "$@"
    wait_child
}

start_child() {
    trap 'forward HUP' HUP
    trap 'forward INT' INT
    trap 'forward TERM' TERM
    set -m
    # A background group may not read the terminal; and there may be no standard input at all.
    if [[ -t 0 ]] || ! { : <&0; } 2>/dev/null; then
        "$@" </dev/null &
    else
        "$@" <&0 &
    fi
    CHILD=$!
    set +m
}

wait_child() {
    local code
    SIGNALED=1
    while ((SIGNALED)); do
        SIGNALED=0
        code=0
        wait "$CHILD" || code=$?
        ((code == 127)) || CHILD_CODE=$code
    done
}

forward() {
    SIGNALED=1
    kill -s "$1" -- "-$CHILD" 2>/dev/null || true
}
