#!/bin/sh
# Fuzzes what strangers send: `tests/fuzz/run.sh [sip|sdp|rtp ...]`, all three without a word, one after the other,
# SECONDS_EACH each (600 when not given). What it learns stays in corpus/ and is where the next run begins; an input that
# breaks something is kept in found/ and makes the exit status 1. To see one again: `run.sh sip tests/fuzz/found/FILE`.
set -eu
cd "$(dirname "$0")/../.."
host=$(rustc -vV | sed -n 's/^host: //p')
bin=${CARGO_TARGET_DIR:=$PWD/target}/fuzz/$host/release
corpus=tests/fuzz/corpus found=tests/fuzz/found
mkdir -p $corpus $found

# What libFuzzer watches the program by: its edges and its comparisons. Stable rustc and crates.io do, no nightly is needed.
coverage=-sanitizer-coverage
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=$coverage-level=4 -Cllvm-args=$coverage-inline-8bit-counters \
-Cllvm-args=$coverage-pc-table -Cllvm-args=$coverage-trace-compares"
# With --target the flags are not for build scripts.
cargo build --locked --release --manifest-path tests/fuzz/Cargo.toml --target "$host" \
    --target-dir "$CARGO_TARGET_DIR/fuzz"

case "$#:${2:-}" in
2:*/*) exec "$bin/$1" "$2" ;;
esac

status=0
for name in "${@:-sip sdp rtp}"; do
    for target in $name; do
        mkdir -p "$corpus/$target"
        set -- "$corpus/$target" "tests/fuzz/seeds/$target"
        [ "$target" = sip ] && set -- "$@" tests/phones/torture/rfc4475 tests/phones/torture/own
        [ -f "tests/fuzz/$target.dict" ] && set -- "-dict=tests/fuzz/$target.dict" "$@"
        echo "== $target, ${SECONDS_EACH:=600} s"
        "$bin/$target" -max_total_time="$SECONDS_EACH" -max_len=4096 -timeout=10 -rss_limit_mb=2048 \
            -print_final_stats=1 -artifact_prefix="$found/$target-" "$@" || status=1
    done
done
[ $status = 0 ] || echo "An input was found that breaks something: see $found" >&2
exit $status
