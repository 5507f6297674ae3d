#!/bin/sh
# The story of three nodes, told by containers: form, write, stop all, come back, lose one by a
# kill, another by a pause, take them back, add a node, remove it. Every key is read after each.
# Needs docker, compose and redis-cli; makes the image where it is missing.
#   CRABCACHE_IMAGE=NAME takes another image; KEYS=N writes so many keys.
set -eu
cd "$(dirname "$0")"
if ! docker info > /dev/null 2>&1; then
    echo "not run: no docker"
    exit 0
fi
if docker compose version > /dev/null 2>&1; then
    tool="docker compose"
elif docker-compose version > /dev/null 2>&1; then
    tool="docker-compose"
else
    echo "not run: no docker compose"
    exit 0
fi
if ! command -v redis-cli > /dev/null; then
    echo "not run: no redis-cli"
    exit 0
fi
image=${CRABCACHE_IMAGE:-crabcache:latest}
keys=${KEYS:-500}
docker image inspect "$image" > /dev/null 2>&1 || IMAGE=$image ./build.sh

# A project of its own, so that nothing of the user's is in the way or goes at the end.
compose() { $tool -p crabstory -f compose.yaml --profile more "$@" 2>> "$log"; }
node() { compose ps -q "crab$1"; }
admin() { docker exec "$(node 1)" /crabcache cluster "$@"; }
now() { date +%s%3N; }
log=$(mktemp)
end() {
    docker unpause "$(node 2)" > /dev/null 2>&1 || true
    compose down -v --timeout 5 > /dev/null || true
    rm -f "$log"
}
trap end EXIT
trap 'exit 1' INT TERM
fail() {
    echo "FAILED: $*"
    cat "$log"
    compose logs --tail 20 || true
    exit 1
}
say() { echo "$(($(now) - begun)) ms: $*"; }

# Until the words hold, at most so many seconds.
within() {
    last=$(($(now) + $1 * 1000))
    shift
    until "$@" > /dev/null 2>&1; do
        [ "$(now)" -lt "$last" ] || fail "never: $*"
        sleep 0.1
    done
}
healthy() { [ "$(docker inspect -f '{{.State.Health.Status}}' "$(node "$1")")" = healthy ]; }
all_healthy() { healthy 1 && healthy 2 && healthy 3; }
well() { admin status | grep -q '^well: '; }
# As a program on this machine, at a node's outer listener; redirections lead to outer ones only.
# One that is sent to a node that hangs gives up and begins anew.
cluster() { timeout 2 redis-cli -c -h 127.0.0.1 -p "1700$1"; }
each() { seq "$keys" | sed "s/.*/$1/"; }
write_all() { # VALUE [NODE]
    each "set key& $1" | cluster "${2:-1}" | grep -v '^->' | grep -cx OK | grep -qx "$keys"
}
read_all() { # VALUE [NODE]
    each "get key&" | cluster "${2:-1}" | grep -v '^->' | grep -cx "$1" | grep -qx "$keys"
}
# As one that knows no cluster.
plain_all() { each "get key&" | timeout 10 redis-cli -h 127.0.0.1 -p 17202 | grep -cx "$1" | grep -qx "$keys"; }
# The same from inside the network, by the inner listener of another node.
inside() { docker exec "$(node 2)" /crabcache healthcheck --ready | grep -q '"ready":true'; }

begun=$(now)
compose up -d crab1 crab2 crab3 > /dev/null || fail "compose up"
say "compose up returned"
within 30 all_healthy
say "three nodes are healthy"
within 10 well
inside || fail "the health check inside a container"
admin status
write_all one || fail "writing"
read_all one || fail "reading"
plain_all one || fail "reading by a plain client"
say "$keys keys written and read by the outer listeners"
docker exec "$(node 1)" /crabcache cluster status -a crab3:7001 | grep -q ' crab2:7001 ' ||
    fail "the inner listener"

compose stop crab1 crab2 crab3 > /dev/null
event=$(now)
compose up -d crab1 crab2 crab3 > /dev/null
within 60 all_healthy
within 60 well
read_all one || fail "reading after all were stopped"
say "all stopped and started; healthy again after $(($(now) - event)) ms, with every key"

docker kill "$(node 3)" > /dev/null
event=$(now)
within 10 write_all two
say "node 3 killed; all slots take writes again after $(($(now) - event)) ms at most"
docker start "$(node 3)" > /dev/null
within 60 well
read_all two 3 || fail "reading after node 3 is back"
say "node 3 is back"

docker pause "$(node 2)" > /dev/null
event=$(now)
within 10 write_all three
say "node 2 paused; all slots take writes again after $(($(now) - event)) ms at most"
docker unpause "$(node 2)" > /dev/null
within 60 well
read_all three 2 || fail "reading after node 2 goes on"
say "node 2 goes on"

compose up -d crab4 > /dev/null
within 30 healthy 4
admin rebalance --timeout 120 2> /dev/null
read_all three 4 || fail "reading with four nodes"
write_all four 4 || fail "writing with four nodes"
say "a fourth node has its share"
admin remove 4 --timeout 120 2> /dev/null
read_all four || fail "reading without the fourth node"
compose stop crab4 > /dev/null
say "it is removed and stopped"

echo "all well"
