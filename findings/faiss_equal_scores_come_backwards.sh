#!/usr/bin/env bash
# faiss-cpu 1.15.1: of equal inner products the last row comes first, of equal distances the first.
# One would guess that ties come in the order of the rows, or in any order but the same for each k.
# By inner product the three best of ten equal rows are not the first three of the four best, so a
# longer list does not begin with the shorter one; by L2 it does.
#
# Output seen:
#   inner product, 1 to 4: [0], [1, 0], [2, 1, 0], [3, 2, 1, 0]
#   L2, 1 to 4: [0], [0, 1], [0, 1, 2], [0, 1, 2, 3]
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check faiss-cpu==1.15.1 numpy==2.4.6
cat > look.py <<'PY'
import faiss
import numpy as np

rows = np.ones((10, 2), dtype=np.float32)
for name, index in (("inner product", faiss.IndexFlatIP(2)), ("L2", faiss.IndexFlatL2(2))):
    index.add(rows)
    found = [index.search(rows[:1], k)[1][0].tolist() for k in (1, 2, 3, 4)]
    print(f"{name}, 1 to 4:", ", ".join(map(str, found)))
PY
env/bin/python look.py | tee said
grep -qxF "inner product, 1 to 4: [0], [1, 0], [2, 1, 0], [3, 2, 1, 0]" said
grep -qxF "L2, 1 to 4: [0], [0, 1], [0, 1, 2], [0, 1, 2, 3]" said
