#!/usr/bin/env bash
# faiss-cpu 1.15.1: an HNSW index that is asked for ten of ten allowed rows returns one.
# One would guess that a selector of ids, which is the only one given, is searched until k rows are
# found, or all that it allows. The walk through the graph ends by itself, and what is allowed but
# not met is left out: the rest of the answer is -1, without a word. So an allow list of a shop, such
# as what is in stock, can lose most of its items.
#
# Output seen:
#   allowed 10, asked for 10, found 1
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
rows = (draw.normal(size=(5000, 32)) * draw.lognormal(size=(5000, 1))).astype(np.float32)
faiss.omp_set_num_threads(1)
index = faiss.IndexHNSWFlat(32, 16, faiss.METRIC_INNER_PRODUCT)
index.add(rows)
allowed = faiss.IDSelectorBatch(np.arange(0, 5000, 500))
how = faiss.SearchParametersHNSW(sel=allowed, efSearch=16)
found = index.search(rows[:1], 10, params=how)[1][0]
print(f"allowed 10, asked for {len(found)}, found {(found >= 0).sum()}")
PY
env/bin/python look.py | tee said
grep -qxF "allowed 10, asked for 10, found 1" said
