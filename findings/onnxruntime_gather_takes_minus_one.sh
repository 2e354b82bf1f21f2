#!/usr/bin/env bash
# onnxruntime 1.32.0: a table asked for row -1 gives the last one.
# One would guess an error, as torch's embedding gives and as onnxruntime itself gives for a row
# behind the last. Gather counts negative rows from the end: in an exported model an item that is not
# known, for which many programs have -1, is the newest item of the catalogue.
#
# Output seen:
#   row -1: [3.0]
#   row 3: INVALID_ARGUMENT
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cat > look.py <<'PY'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

graph = helper.make_graph(
    [helper.make_node("Gather", ["table", "rows"], ["found"])],
    "lookup",
    [
        helper.make_tensor_value_info("table", TensorProto.FLOAT, [3]),
        helper.make_tensor_value_info("rows", TensorProto.INT64, ["n"]),
    ],
    [helper.make_tensor_value_info("found", TensorProto.FLOAT, ["n"])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
session = onnxruntime.InferenceSession(model.SerializeToString())
table = np.array([1, 2, 3], dtype=np.float32)
for row in (-1, 3):
    try:
        found = session.run(None, {"table": table, "rows": np.array([row])})[0].tolist()
    except Exception as error:
        found = "INVALID_ARGUMENT" if "INVALID_ARGUMENT" in str(error) else error
    print(f"row {row}: {found}")
PY
env/bin/python look.py 2> warned | tee said
grep -qxF "row -1: [3.0]" said
grep -qxF "row 3: INVALID_ARGUMENT" said
