#!/usr/bin/env bash
# Builds every target and puts it into $OUT with its seeds and its dictionary, as ClusterFuzzLite wants them. Outside of
# the container it needs the nightly toolchain, cargo-fuzz and zip: `SRC=.. OUT=/tmp/out .clusterfuzzlite/build.sh`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." 2>/dev/null
# In the container this file has been copied beside the checkout.
[ -d fuzz/fuzz_targets ] || cd "$SRC/colo"
: "${OUT:?the folder into which targets, seeds and dictionaries go}"

# The container's toolchain is a nightly already.
cargo="cargo +nightly"
[ -z "${FUZZING_ENGINE:-}" ] || cargo="cargo"
# COLO_TARGETS names some of them only, for a test.
targets=${COLO_TARGETS:-$($cargo fuzz list)}
for target in $targets; do
    $cargo fuzz build "$target"
done

built=fuzz/target/$(rustc -vV | sed -n 's/^host: //p')/release
for target in $targets; do
    cp "$built/$target" "$OUT/"
    (cd "fuzz/corpus/$target" && zip -q -r "$OUT/${target}_seed_corpus.zip" seed-*)
    dictionary=fuzz/dictionaries/$target.dict
    case $target in stream_decoder | stream_decoder_v12 | chunks) dictionary=fuzz/dictionaries/stream.dict ;; esac
    [ ! -e "$dictionary" ] || cp "$dictionary" "$OUT/$target.dict"
    printf '[libfuzzer]\nmax_len = 16384\nmalloc_limit_mb = 256\n' >"$OUT/$target.options"
done
