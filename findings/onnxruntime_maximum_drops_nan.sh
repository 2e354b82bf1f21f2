#!/usr/bin/env bash
# onnxruntime 1.32.0: the largest of scores with a NaN among them is the largest number by ReduceMax
# and ArgMax, and NaN by TopK.
# One would guess that the exported model shows a NaN as torch does, whose max, argmax and topk all
# give it. A scorer that takes the maximum of the modalities' scores returns a number where the
# trained model returned NaN, and the same graph with k = 1 does not.
#
# Output seen:
#   ReduceMax 3.0, ArgMax 2
#   TopK nan at 1
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
    [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("ArgMax", ["x"], ["where"], axis=0, keepdims=0),
        helper.make_node("TopK", ["x", "k"], ["best", "place"]),
    ],
    "scores",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
    [
        helper.make_tensor_value_info(name, kind, None)
        for name, kind in (("most", 1), ("where", 7), ("best", 1), ("place", 7))
    ],
    [helper.make_tensor("k", TensorProto.INT64, [1], [1])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
session = onnxruntime.InferenceSession(
    model.SerializeToString(), providers=["CPUExecutionProvider"]
)
scores = np.array([1, np.nan, 3, 2], dtype=np.float32)
most, where, best, place = session.run(None, {"x": scores})
print(f"ReduceMax {most}, ArgMax {where}")
print(f"TopK {best[0]} at {place[0]}")
PY
env/bin/python look.py | tee said
grep -qxF "ReduceMax 3.0, ArgMax 2" said
grep -qxF "TopK nan at 1" said
