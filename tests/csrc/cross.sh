#!/bin/sh
# Compiles all of csrc for ARM Linux, Windows and macOS, and runs the leaf tests on an emulated ARM CPU.
# Needs the PyPI package ziglang in $PYTHON, and qemu-aarch64 (Debian: qemu-user) for the second part.
set -eu

cd "$(dirname "$0")"
root=../..
out=$root/build/csrc/cross
python=${PYTHON:-python3}
flags="-std=c11 -O2 -Wall -Wextra -Werror -I$root/csrc -I."

"$python" -c 'import ziglang' 2>/dev/null || {
    echo "cross: $python has no ziglang: pip install ziglang" >&2
    exit 1
}

for target in aarch64-linux-gnu x86_64-windows-gnu aarch64-macos; do
    mkdir -p "$out/$target"
    for source in "$root"/csrc/*.c; do
        # shellcheck disable=SC2086 # flags are words
        "$python" -m ziglang cc -target "$target" $flags -c "$source" -o "$out/$target/$(basename "$source" .c).o"
    done
    echo "cross: $target compiles"
done

# A static program for musl needs no ARM root file system; only the leaves, so that it needs no library either.
program=$out/test_leaves.aarch64
# shellcheck disable=SC2086
"$python" -m ziglang cc -target aarch64-linux-musl -static $flags test_leaves.c \
    "$root"/csrc/kp_crc32.c "$root"/csrc/kp_crc32c.c "$root"/csrc/kp_murmur2.c "$root"/csrc/kp_snappy.c -o "$program"

emulator=$(command -v qemu-aarch64 || command -v qemu-aarch64-static) || {
    echo "cross: qemu-aarch64 is missing: apt install qemu-user" >&2
    exit 1
}
output=$(timeout 300 "$emulator" -cpu max "$program")
echo "$output"
echo "$output" | grep -q "crc32c variant armv8: checked" || {
    echo "cross: the ARM variant of crc32c did not run" >&2
    exit 1
}
