#!/usr/bin/env bash
# implicit 0.7.3: precision@10 of a list with one right item of ten is 1.
# One would guess a tenth. precision_at_k divides by the smaller of K and what was held out, so with one
# held-out item per user it is what others call recall or hit rate. And it is one quotient over all users,
# not the mean of theirs: beside a user with twenty held-out items and no hit it is 1 of 11.
#
# Output seen:
#   one of ten right, one held out: precision@10 1.0000
#   and a user with 20 held out, none right: precision@10 0.0909
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
from implicit.evaluation import precision_at_k
from scipy.sparse import csr_matrix


class Lists:
    def recommend(self, users, *_, N, **__):
        items = np.tile(np.arange(N, dtype=np.int32), (len(users), 1))
        return items, np.ones_like(items, dtype=np.float32)


def precision(*held_out):
    users = np.repeat(np.arange(len(held_out)), [len(items) for items in held_out])
    shape = (len(held_out), 40)
    clicks = csr_matrix((np.ones(len(users)), (users, np.concatenate(held_out))), shape=shape)
    return precision_at_k(Lists(), csr_matrix(shape), clicks, K=10, show_progress=False)


print(f"one of ten right, one held out: precision@10 {precision([9]):.4f}")
found = precision([9], range(20, 40))
print(f"and a user with 20 held out, none right: precision@10 {found:.4f}")
PY
env/bin/python look.py | tee said
grep -qxF "one of ten right, one held out: precision@10 1.0000" said
grep -qxF "and a user with 20 held out, none right: precision@10 0.0909" said
