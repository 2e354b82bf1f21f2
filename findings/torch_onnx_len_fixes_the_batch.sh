#!/usr/bin/env bash
# torch 2.15.0: torch.onnx.export fixes a dimension that it was told is free, where forward asks for
# len(tensor).
# One would guess that len(ids) and ids.shape[0] are one thing, or that the exporter, told by a named
# dimension that the batch is free, fails where it cannot be. The first way of capturing the model
# refuses; the exporter goes on to the next, which takes the example's batch for good.
#
# Output seen:
#   ids.shape[0]: input [batch,3]
#   len(ids): input [2,3]
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check torch==2.15.0 numpy==2.4.6 onnx==1.23.2 onnxscript==0.7.2
cat > look.py <<'PY'
import torch


class WithShape(torch.nn.Module):
    def forward(self, ids):
        return torch.zeros(ids.shape[0]) + ids.sum(1)


class WithLen(torch.nn.Module):
    def forward(self, ids):
        return torch.zeros(len(ids)) + ids.sum(1)


free = ({0: torch.export.Dim("batch")},)
for name, model in (("ids.shape[0]", WithShape()), ("len(ids)", WithLen())):
    graph = torch.onnx.export(
        model.eval(), (torch.ones(2, 3),), dynamo=True, dynamic_shapes=free, verbose=False
    ).model.graph
    print(f"{name}: input {graph.inputs[0].shape}")
PY
env/bin/python -W ignore look.py 2> warned | tee said
grep -qxF "ids.shape[0]: input [batch,3]" said
grep -qxF "len(ids): input [2,3]" said
