#!/bin/sh
# Builds a static binary and the image crabcache:latest around it, without a registry. PROFILE=quick
# builds faster, for experiments; BINARY=FILE takes a static binary that is there already.
set -eu
cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-gnu
profile=${PROFILE:-release}
if [ -z "${BINARY:-}" ]; then
    RUSTFLAGS='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"' \
        cargo build --profile "$profile" --locked --target "$target" --bin crabcache
    BINARY=${CARGO_TARGET_DIR:-target}/$target/$profile/crabcache
fi
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir "$context/data" "$context/pki"
cp "$BINARY" "$context/crabcache"
cp LICENSE NOTICE "$context/"
strip "$context/crabcache" 2>/dev/null || true
docker build -f docker/Dockerfile.scratch -t "${IMAGE:-crabcache:latest}" "$context"
