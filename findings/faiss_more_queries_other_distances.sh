#!/usr/bin/env bash
# faiss-cpu 1.15.1: the distances of a flat L2 index depend on how many queries are asked at once.
# One would guess that an exact index gives a query the same answer alone or among others. From
# queries x width = 128,000 on it computes |q|^2 + |x|^2 - 2<q, x> in float32 instead of the sum of
# squared differences, which cancels where vectors lie close together and far from the origin. Text
# features of real encoders do, unless they are centred first.
#
# Output seen:
#   249 queries of 512: the second nearest at 893.8 (893.8)
#   250 queries of 512: the second nearest elsewhere (512.0; 640.0 on another processor)
#   centred, 250 queries of 512: the second nearest at 893.8 (893.8)
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check faiss-cpu==1.15.1 numpy==2.4.6
cat > look.py <<'PY'
import faiss
import numpy as np

rows = (1000 + np.random.default_rng(0).normal(size=(300, 512))).astype(np.float32)
for name, values in (("", rows), ("centred, ", rows - rows.mean(axis=0))):
    index = faiss.IndexFlatL2(512)
    index.add(values)
    for number in (249, 250)[len(name) > 0 :]:
        found = index.search(values[:number], 2)[0][0, 1]
        where = "at 893.8" if abs(found - 893.8) < 0.1 else "elsewhere"
        print(f"{name}{number} queries of 512: the second nearest {where} ({found:.1f})")
PY
env/bin/python look.py | tee said
grep -qF "249 queries of 512: the second nearest at 893.8" said
grep -q "^250 queries of 512: the second nearest elsewhere" said
grep -qF "centred, 250 queries of 512: the second nearest at 893.8" said
