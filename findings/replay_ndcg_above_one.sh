#!/usr/bin/env bash
# replay-rec 0.22.0: an item that a list names twice is found twice, and NDCG passes 1.
# One would guess a value from 0 to 1, or an error. A warning comes, and the value goes on into the
# mean over users: a list with repeats, such as one joined from two sources or filled up to its
# length, looks better than the best list there is.
#
# Output seen:
#   NDCG@10 with the item first: 1.0000, first and second: 1.6309
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check replay-rec==0.22.0 pandas==2.3.3
cat > look.py <<'PY'
import pandas as pd
from replay.metrics import NDCG

held_out = pd.DataFrame({"query_id": [1], "item_id": [0]})


def ndcg(items):
    scores = [1 - place / 20 for place in range(len(items))]
    lists = pd.DataFrame({"query_id": 1, "item_id": items, "rating": scores})
    return NDCG(10)(lists, held_out)["NDCG@10"]


print(f"NDCG@10 with the item first: {ndcg([0, *range(2, 11)]):.4f}", end=", ")
print(f"first and second: {ndcg([0, 0, *range(2, 10)]):.4f}")
PY
env/bin/python look.py 2> warned | tee said
grep -qxF "NDCG@10 with the item first: 1.0000, first and second: 1.6309" said
