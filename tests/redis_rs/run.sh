#!/bin/sh
# redis-rs against a demo of three nodes, of which one is added, one removed and one killed
# meanwhile. Takes the binary that CRABCACHE names, else the one of `cargo build`.
set -eu
cd "$(dirname "$0")"
crabcache=${CRABCACHE:-../../target/debug/crabcache}
base=${PORT_BASE:-26000}
cargo build --quiet
check=${CARGO_TARGET_DIR:-target}/debug/redis-rs-check
dir=$(mktemp -d)
"$crabcache" demo --dir "$dir/demo" --port-base "$base" --memory 64MiB > "$dir/told" &
demo=$!
more=
trap 'kill $demo $more 2> /dev/null; wait; rm -rf "$dir"' EXIT
until grep -q Ctrl-C "$dir/told"; do kill -0 $demo; sleep 0.1; done
admin() { "$crabcache" cluster "$@" -a "127.0.0.1:$((base + 1))" --timeout 90 2> /dev/null; }
mkfifo "$dir/input"

run() { # WHAT COMMAND...
    echo "== $1"
    shift
    "$check" $((base + 1)) < "$dir/input" &
    running=$!
    exec 3> "$dir/input"
    sleep 2
    "$@" > /dev/null
    sleep 2
    exec 3>&-
    wait $running
}
add() {
    "$crabcache" demo add --dir "$dir/demo" --port-base "$base" > "$dir/more" &
    more=$!
    until grep -q 'is of the cluster' "$dir/more"; do kill -0 $more; sleep 0.1; done
    admin rebalance
}
end_node() {
    kill -9 "$(redis-cli -p $((base + 3)) info server | sed -n 's/^process_id:\([0-9]*\).*/\1/p')"
    sleep 2
}
run "a node is added" add
run "it is removed" admin remove 4
run "a node is killed" end_node
