#!/usr/bin/env bash
# torch 2.15.0 and numpy 2.4.6: an array indexed by a torch mask of one row is not masked.
# One would guess that names[mask] keeps the rows where the mask is True, as with a NumPy mask and as
# with a torch mask of two rows. A tensor of one element can be a number, so NumPy takes True for 1 and
# False for 0: the last batch, or a user with one item, is row 0 or 1 of the array, or an error.
#
# Output seen:
#   two rows, [True, False]: ['a']
#   one row, [False]: a
#   one row, [True]: index 1 is out of bounds for axis 0 with size 1
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check torch==2.15.0 numpy==2.4.6
cat > look.py <<'PY'
import numpy as np
import torch

for names, mask in ((["a", "b"], [True, False]), (["a"], [False]), (["a"], [True])):
    rows = "one row" if len(names) == 1 else "two rows"
    try:
        print(f"{rows}, {mask}:", np.array(names)[torch.tensor(mask)])
    except IndexError as error:
        print(f"{rows}, {mask}:", error)
PY
env/bin/python look.py | tee said
grep -qxF "two rows, [True, False]: ['a']" said
grep -qxF "one row, [False]: a" said
grep -qxF "one row, [True]: index 1 is out of bounds for axis 0 with size 1" said
