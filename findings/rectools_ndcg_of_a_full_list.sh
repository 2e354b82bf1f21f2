#!/usr/bin/env bash
# rectools 0.19.0: NDCG of a user who has one item, recommended first, is 0.22 at 10.
# One would guess 1: nothing could be better. By default the sum is divided by that of a list whose
# every place is right, so the largest value depends on how many items a user has; with one held-out
# item per user the figures are a fifth of those of other libraries. divide_by_achievable=True is the
# usual one.
#
# Output seen:
#   NDCG@10 of a perfect list: 0.2201, divide_by_achievable: 1.0
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check rectools==0.19.0
cat > look.py <<'PY'
import pandas as pd
from rectools import Columns
from rectools.metrics import NDCG

lists = pd.DataFrame({Columns.User: 1, Columns.Item: range(10), Columns.Rank: range(1, 11)})
held_out = pd.DataFrame({Columns.User: [1], Columns.Item: [0]})
plain = NDCG(k=10).calc(lists, held_out)
usual = NDCG(k=10, divide_by_achievable=True).calc(lists, held_out)
print(f"NDCG@10 of a perfect list: {plain:.4f}, divide_by_achievable: {usual}")
PY
env/bin/python look.py | tee said
grep -qxF "NDCG@10 of a perfect list: 0.2201, divide_by_achievable: 1.0" said
