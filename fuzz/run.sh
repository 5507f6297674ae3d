#!/bin/sh
# Runs fuzz targets one after another on the stable toolchain: fuzz/run.sh SECONDS [TARGET...]
set -eu

seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET...]}
shift
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- $(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' Cargo.toml)

# What cargo-fuzz passes, without the flags that only a nightly compiler takes.
flags="--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    flags="$flags -Cllvm-args=-sanitizer-coverage-$option"
done
if [ "${ASAN:-0}" = 1 ]; then
    export RUSTC_BOOTSTRAP=1
    flags="$flags -Zsanitizer=address"
fi

# Named, so that the flags do not reach build scripts and macros.
host=$(rustc -vV | sed -n 's/^host: //p')
for target in "$@"; do
    RUSTFLAGS="$flags" cargo build --target "$host" --bin "$target" ${JOBS:+-j "$JOBS"}
done
failed=
for target in "$@"; do
    mkdir -p "corpus/$target" "artifacts/$target" "seeds/$target"
    dictionary=
    [ ! -f "$target.dict" ] || dictionary="-dict=$target.dict"
    "target/$host/debug/$target" "corpus/$target" "seeds/$target" $dictionary \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=8192 \
        -artifact_prefix="artifacts/$target/" -print_final_stats=1 || failed="$failed $target"
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
