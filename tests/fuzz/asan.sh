#!/bin/sh
# Python's tests over a core built with ASan, UBSan and LeakSanitizer, in a copy of the tree: asan.sh PYTHON [for pytest].
set -eu
python=$1
shift
cd "$(dirname "$0")/../.."
copy=$PWD/build/asan
rm -rf "$copy"
mkdir -p "$copy"
git ls-files -z --cached --others --exclude-standard |
    xargs -0 sh -c 'for path; do [ ! -e "$path" ] || cp --parents "$path" "$0"; done' "$copy"
cd "$copy"

# setup.py asks for -O3 and no symbols: what stands last counts.
cat >cc <<'END'
#!/bin/sh
exec gcc "$@" -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
END
chmod +x cc
CC=$copy/cc "$python" setup.py --quiet build_ext --inplace

# Some tests start these: the compiler leaves memory behind, ps hangs. They are none of ours.
mkdir tools
for tool in cc gcc ps; do
    printf '#!/bin/sh\nunset LD_PRELOAD\nexec %s "$@"\n' "$(command -v $tool)" >tools/$tool
    chmod +x tools/$tool
done

# Python too leaves memory behind. With two frames of each stack a rule for a caller of malloc hides its leaks and none
# of ours.
echo leak:python3. >leaks
# Where the C++ library comes after ASan (Arrow brings it), ASan does not know how to throw.
LD_PRELOAD="$(realpath "$(gcc -print-file-name=libasan.so)") $(realpath "$(gcc -print-file-name=libstdc++.so.6)")"
export LD_PRELOAD
export ASAN_OPTIONS=detect_leaks=1:malloc_context_size=2
export LSAN_OPTIONS="suppressions=$copy/leaks:print_suppressions=0"
export UBSAN_OPTIONS=print_stacktrace=1
export PYTHONMALLOC=malloc PYTHONPATH="$copy" PATH="$copy/tools:$PATH"

"$python" -c 'import kproducer._core.pump as pump; assert "/build/asan/" in pump.__file__, pump.__file__'

core=tests/unit/core
fork=$core/test_life.py::test_a_forked_child_is_refused_and_the_parent_delivers_once
# A forked child cannot free what the stack of the pump's thread owned.
ASAN_OPTIONS=detect_leaks=0 "$python" -m pytest --quiet -p no:cacheprovider "$fork"
# Left out: three tests that measure resident memory, which ASan keeps; one that wants most of the work done in a given
# time.
exec "$python" -m pytest tests/unit tests/wire -p no:cacheprovider --timeout=600 --deselect "$fork" \
    --deselect $core/test_load.py::test_a_million_records_leave_nothing_behind \
    --deselect $core/test_load.py::test_ten_million_records_stay_within_buffer_memory_and_64_mib \
    --deselect $core/test_send_many.py::test_an_endless_generator_takes_flat_memory \
    --deselect $core/test_gil.py::test_all_is_sent_and_acknowledged_while_c_holds_the_gil "$@"
