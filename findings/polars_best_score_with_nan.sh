#!/usr/bin/env bash
# polars 2.1.0: of scores with a NaN among them, max and arg_max take the largest number, and top_k,
# rank and sort take NaN for larger than every number.
# One would guess that the item with the largest score by max is the first of top_k(1), of rank 1 and
# the first in falling order. With one NaN it is in neither of the three.
#
# Output seen:
#   max 0.3, arg_max 2
#   top_k(1) [nan], rank of the items [3.0, 1.0, 2.0], sorted [nan, 0.3, 0.1]
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check polars==2.1.0
cat > look.py <<'PY'
import polars as pl

scores = pl.Series([0.1, float("nan"), 0.3])
print(f"max {scores.max()}, arg_max {scores.arg_max()}")
ranks, falling = scores.rank(descending=True).to_list(), scores.sort(descending=True).to_list()
print(f"top_k(1) {scores.top_k(1).to_list()}, rank of the items {ranks}, sorted {falling}")
PY
env/bin/python look.py | tee said
grep -qxF "max 0.3, arg_max 2" said
grep -qxF "top_k(1) [nan], rank of the items [3.0, 1.0, 2.0], sorted [nan, 0.3, 0.1]" said
