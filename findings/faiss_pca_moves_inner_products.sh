#!/usr/bin/env bash
# faiss-cpu 1.15.1: PCA before an index of inner products ranks other items, though it keeps all
# dimensions.
# One would guess that "PCA8,Flat" over vectors of 8 numbers is a rotation, which changes no inner
# product, as "RR8,Flat" and "OPQ2_8,Flat" are. PCA first subtracts the mean of the training from
# rows and queries alike. Distances stay; <q - m, x - m> lacks <m, x>, which differs from row to row.
#
# Output seen:
#   the best of 500 by PCA8,Flat is another one for 91 of 100 queries
#   the best of 500 by RR8,Flat is another one for 0 of 100 queries
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check faiss-cpu==1.15.1 numpy==2.4.6
cat > look.py <<'PY'
import faiss
import numpy as np

draw = np.random.default_rng(0)
rows = (draw.normal(size=(500, 8)) + 2 * draw.normal(size=8)).astype(np.float32)
queries = draw.normal(size=(100, 8)).astype(np.float32)
best = (queries @ rows.T).argmax(axis=1)
for words in ("PCA8,Flat", "RR8,Flat"):
    index = faiss.index_factory(8, words, faiss.METRIC_INNER_PRODUCT)
    index.train(rows)
    index.add(rows)
    others = (index.search(queries, 1)[1][:, 0] != best).sum()
    print(f"the best of 500 by {words} is another one for {others} of 100 queries")
PY
env/bin/python look.py | tee said
grep -qxF "the best of 500 by PCA8,Flat is another one for 91 of 100 queries" said
grep -qxF "the best of 500 by RR8,Flat is another one for 0 of 100 queries" said
