#!/usr/bin/env bash
# faiss-cpu 1.15.1: a scalar quantiser keeps values that lie outside what it was trained on as the
# nearest that it knows.
# One would guess that a row added later keeps about its length. IndexScalarQuantizer with 8 bits
# learns the range of each column from the rows it is trained on, and cuts everything to that: a new
# item with a longer vector is ranked as if it were shorter, and nothing says so.
#
# Output seen:
#   <row, row> of a row of the training: 13.5, exactly 13.5
#   <row, row> of a new one, five times as long: 174.5, exactly 337.5
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check faiss-cpu==1.15.1 numpy==2.4.6
cat > look.py <<'PY'
import faiss
import numpy as np

rows = np.random.default_rng(0).normal(size=(1000, 16)).astype(np.float32)
index = faiss.IndexScalarQuantizer(16, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
index.train(rows)
index.add(np.concatenate([rows[:1], 5 * rows[:1]]))
for name, number in (("a row of the training", 0), ("a new one, five times as long", 1)):
    row = rows[0] * (1, 5)[number]
    kept = index.reconstruct(number)
    print(f"<row, row> of {name}: {row @ kept:.1f}, exactly {row @ row:.1f}")
PY
env/bin/python look.py | tee said
grep -qxF "<row, row> of a row of the training: 13.5, exactly 13.5" said
grep -qxF "<row, row> of a new one, five times as long: 174.5, exactly 337.5" said
