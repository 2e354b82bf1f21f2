#!/usr/bin/env bash
# implicit 0.7.3: where fewer than N items can be recommended, the list is filled: with the user's own
# items at a score of -3.4e38, and lists of similar items with item 0 at a score of 0.
# One would guess that filter_already_liked_items and filter_items keep items out of the answer, and
# that an answer is shorter where there is nothing more. Written to a file without a look at the
# scores, every user of a small catalogue gets what she has.
#
# Output seen:
#   user 0 has [0, 1]; 4 recommended: [2, 3, 1, 0], of which hers: [0, 1]
#   5 similar to item 0, of 4 items: [0, 1, 2, 3, 0]
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check implicit==0.7.3 numpy==2.4.6 scipy==1.16.2
cat > look.py <<'PY'
import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np
import scipy.sparse as sp
from implicit.als import AlternatingLeastSquares

clicks = sp.csr_matrix(np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=np.float32))
model = AlternatingLeastSquares(factors=2, iterations=5, random_state=0, num_threads=1)
model.fit(clicks, show_progress=False)
items = model.recommend(0, clicks[0], N=4)[0].tolist()
print(f"user 0 has [0, 1]; 4 recommended: {items}, of which hers: {sorted({0, 1} & set(items))}")
print("5 similar to item 0, of 4 items:", model.similar_items(0, N=5)[0].tolist())
PY
env/bin/python look.py | tee said
grep -qxF "user 0 has [0, 1]; 4 recommended: [2, 3, 1, 0], of which hers: [0, 1]" said
grep -qxF "5 similar to item 0, of 4 items: [0, 1, 2, 3, 0]" said
