#!/usr/bin/env bash
# cornac 3.0.1: the AUC of a model that gives all items one score is 0.
# One would guess .5, what chance earns and what scikit-learn's roc_auc_score says. A pair counts
# only if the right item's score is larger; a tie is a loss, so few levels of score look worse than
# random ones.
#
# Output seen:
#   all scores equal: cornac 0.0, scikit-learn 0.5
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check cornac==3.0.1 scikit-learn==1.7.2
cat > look.py <<'PY'
import numpy as np
from cornac.metrics import AUC
from sklearn.metrics import roc_auc_score

scores, right = np.zeros(10), np.array([1])
ours = AUC().compute(item_indices=np.arange(10), pd_scores=scores, gt_pos=right)
print(f"all scores equal: cornac {ours}, scikit-learn {roc_auc_score(np.arange(10) == 1, scores)}")
PY
env/bin/python look.py | tee said
grep -qxF "all scores equal: cornac 0.0, scikit-learn 0.5" said
