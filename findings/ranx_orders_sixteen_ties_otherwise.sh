#!/usr/bin/env bash
# ranx 0.3.21: of equal scores the first document is ranked first while there are at most 15 of them,
# and in the middle or last from 16 on.
# One would guess one rule for ties. The sort changes its way at 16 entries and is not stable, so the
# reciprocal rank of the first of equal documents falls from 1 to 1/15 as the list grows by one: a
# model with few levels of score has figures that depend on the length of its lists.
#
# Output seen:
#   15 equal scores: reciprocal rank of the first 1.0000
#   16 equal scores: reciprocal rank of the first 0.0667
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check ranx==0.3.21
cat > look.py <<'PY'
import warnings

warnings.simplefilter("ignore")
from ranx import Qrels, Run, evaluate

for number in (15, 16):
    run = Run({"user": {f"item{place:02d}": 1.0 for place in range(number)}})
    found = evaluate(Qrels({"user": {"item00": 1}}), run, "mrr")
    print(f"{number} equal scores: reciprocal rank of the first {found:.4f}")
PY
NUMBA_OPT=0 env/bin/python look.py | tee said  # it compiles in a quarter of the time
grep -qxF "15 equal scores: reciprocal rank of the first 1.0000" said
grep -qxF "16 equal scores: reciprocal rank of the first 0.0667" said
