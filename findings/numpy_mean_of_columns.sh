#!/usr/bin/env bash
# numpy 2.4.6: the mean of each column of 20 million ones in float32 is 0.84.
# One would guess 1, or 1 but for the last digits, as mean() over the whole array gives. Sums in pairs
# are for numbers that lie next to each other; down the columns a row is added to the last sum, and
# in float32 16,777,216 + 1 is 16,777,216. The mean of many items' features, to centre them by, is
# such a sum: it drifts long before, and stops there. mean(axis=0, dtype=numpy.float64) is right.
#
# Output seen:
#   of each column: [0.8388608 0.8388608], of all: 1.0, of each column in float64: [1. 1.]
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check numpy==2.4.6
cat > look.py <<'PY'
import numpy as np

ones = np.ones((20_000_000, 2), dtype=np.float32)
print(f"of each column: {ones.mean(axis=0)}, of all: {ones.mean()}", end=", ")
print("of each column in float64:", ones.mean(axis=0, dtype=np.float64))
PY
env/bin/python look.py | tee said
grep -qxF "of each column: [0.8388608 0.8388608], of all: 1.0, of each column in float64: [1. 1.]" said
