#!/usr/bin/env bash
# safetensors 0.8.0: save_file of safetensors.numpy writes a transposed array as another one.
# One would guess that an array is written by its values, as numpy.save does. The bytes are taken as
# they lie in memory, and the shape as it is seen: a transposed matrix, or one that another library
# made column by column, comes back with its values in other places. No error, no warning; the torch
# side of the library refuses such a tensor. numpy.ascontiguousarray first.
#
# Output seen:
#   written: [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
#   read: [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
#   made contiguous first, read: [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
cat > look.py <<'PY'
import numpy as np
from safetensors.numpy import load_file, save_file

factors = np.arange(6, dtype=np.float32).reshape(2, 3).T
print("written:", factors.tolist())
save_file({"factors": factors}, "model.safetensors")
print("read:", load_file("model.safetensors")["factors"].tolist())
save_file({"factors": np.ascontiguousarray(factors)}, "model.safetensors")
print("made contiguous first, read:", load_file("model.safetensors")["factors"].tolist())
PY
env/bin/python look.py | tee said
grep -qxF "written: [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]" said
grep -qxF "read: [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]" said
grep -qxF "made contiguous first, read: [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]" said
