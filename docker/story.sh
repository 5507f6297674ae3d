#!/bin/sh
# The story of three nodes, told by containers: form, write, lose a node, go on, add one, remove it,
# stop all, come back. Needs the image (docker/build.sh), docker compose and redis-cli.
set -eu
cd "$(dirname "$0")"
if ! docker info >/dev/null 2>&1; then
    echo "not run: no docker"
    exit 0
fi
if ! docker compose version >/dev/null 2>&1; then
    echo "not run: no docker compose"
    exit 0
fi
compose() { docker compose -p crabstory -f compose.yaml "$@"; }
admin() { compose exec -T crab1 /crabcache cluster "$@"; }
now() { date +%s%3N; }
trap 'compose --profile more down -v --timeout 5 >/dev/null 2>&1' EXIT
fail() { echo "FAILED: $*"; compose logs --tail 20; exit 1; }

# Until the words hold, at most so many seconds.
within() {
    end=$(($(now) + $1 * 1000)); shift
    until "$@" >/dev/null 2>&1; do [ "$(now)" -lt "$end" ] || fail "never: $*"; sleep 0.1; done
}
well() { admin status | grep -q '^well: '; }
write_all() { for i in $(seq 100); do redis-cli -c -p 17001 set "key$i" "$1" | grep -q OK || return 1; done; }
read_all() { for i in $(seq 100); do [ "$(redis-cli -c -p 17001 get "key$i")" = "$1" ] || return 1; done; }

begun=$(now)
compose up -d --wait
within 10 well
echo "three nodes are one cache after $(($(now) - begun)) ms"
write_all one || fail "writing"
read_all one || fail "reading"
echo "100 keys written and read by way of node 1"
compose kill -s KILL crab3
dead=$(now)
within 5 write_all two
echo "node 3 killed; all slots take writes again after $(($(now) - dead)) ms at most"
compose start crab3
within 30 well
read_all two || fail "reading after node 3 is back"
compose --profile more up -d --wait crab4
admin rebalance --timeout 120
read_all two || fail "reading with four nodes"
echo "a fourth node has its share"
admin remove 4 --timeout 120
read_all two || fail "reading without it"
compose --profile more stop crab4
compose stop
compose up -d --wait crab1 crab2 crab3
within 30 well
read_all two || fail "reading after all were stopped"
admin status
echo "all well"
