#!/usr/bin/env bash
# torch 2.15.0: with set_float32_matmul_precision("medium") a CPU keeps memory for each number of rows.
# One would guess that the word is about precision, and that (1700, 300) @ (300, 300) leaves nothing
# behind, as with "highest". "medium" takes oneDNN, which prepares each shape anew and keeps 1,024 of
# them: batches of sequences without padding, of which no two have as many items, grow by gigabytes.
# ONEDNN_PRIMITIVE_CACHE_CAPACITY and LRU_CACHE_CAPACITY, both, limit it. Where a CPU has the same
# kernels for both words, unlike the AMD EPYC with AVX-512 of the output, the script says so.
#
# Output seen:
#   highest, 300 numbers of rows: less than 60 MB kept
#   medium, one number of rows: less than 60 MB kept
#   medium, 300 numbers of rows: more than 90 MB kept
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check torch==2.15.0
cat > look.py <<'PY'
import torch
torch.set_num_threads(1)
rows, square = torch.randn(2000, 300), torch.randn(300, 300)


def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6


def kept(word, counts):
    torch.set_float32_matmul_precision(word)
    rows @ square
    before = resident()
    for count in counts:
        found = rows[:count] @ square
    shown = "300 numbers" if isinstance(counts, range) else "one number"
    grown = resident() - before
    size = "less than 60" if grown < 60 else "more than 90" if grown > 90 else round(grown)
    print(f"{word}, {shown} of rows: {size} MB kept")
    return found


same = kept("highest", range(1700, 2000)).equal(kept("medium", [1999] * 300))
kept("medium", range(1700, 2000))
print("this CPU has the same kernels for both" if same else "the kernels differ")
PY
env/bin/python look.py | tee said
grep -qxF "this CPU has the same kernels for both" said && exit 0
grep -qxF "highest, 300 numbers of rows: less than 60 MB kept" said
grep -qxF "medium, one number of rows: less than 60 MB kept" said
grep -qxF "medium, 300 numbers of rows: more than 90 MB kept" said
