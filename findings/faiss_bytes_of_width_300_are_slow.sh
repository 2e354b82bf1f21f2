#!/usr/bin/env bash
# faiss-cpu 1.15.1: vectors of 300 numbers kept as bytes are searched several times more slowly than
# vectors of 304.
# One would guess that a little less work takes a little less time. The fast way of the 8-bit scalar
# quantiser reads whole groups of numbers and is taken only where the width is a multiple of the
# group; four zeros behind each vector change no distance and win the rest.
#
# Output seen:
#   300 numbers take more than twice as long as 304: True
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check faiss-cpu==1.15.1 numpy==2.4.6
cat > look.py <<'PY'
import time

import faiss
import numpy as np

faiss.omp_set_num_threads(1)
rows = np.random.default_rng(0).standard_normal((20_000, 300)).astype(np.float32)
indexes = {}
for width in (300, 304):
    padded = np.pad(rows, ((0, 0), (0, width - 300)))
    indexes[width] = faiss.IndexScalarQuantizer(
        width, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    indexes[width].train(padded)
    indexes[width].add(padded)
best = dict.fromkeys(indexes, float("inf"))
for _ in range(7):  # in turn, and the best of each: whatever else the machine does
    for width, index in indexes.items():
        queries = np.pad(rows[:20], ((0, 0), (0, width - 300)))
        start = time.process_time()
        index.search(queries, 10)
        best[width] = min(best[width], time.process_time() - start)
print("300 numbers take more than twice as long as 304:", best[300] > 2 * best[304])
PY
env/bin/python look.py | tee said
grep -qxF "300 numbers take more than twice as long as 304: True" said
