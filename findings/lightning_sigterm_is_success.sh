#!/usr/bin/env bash
# pytorch-lightning 2.6.6 with torch 2.15.0: a training that SIGTERM ends has exit code 0.
# One would guess 143, or any code but 0, as a process has that SIGTERM ends: a scheduler that takes a
# machine back sends it. The trainer stops after the batch and raises its SIGTERMException, which is a
# SystemExit without a code: no traceback, and what waits for the exit code takes it for success.
#
# Output seen:
#   batches trained: 4 of 100
#   fit raised SIGTERMException, a SystemExit with code None
#   exit code: 0
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check torch==2.15.0 pytorch-lightning==2.6.6
cat > look.py <<'PY'
import os
import signal
import torch
from pytorch_lightning import LightningModule, Trainer
from torch.utils.data import DataLoader

batch = torch.ones(1)


class Nothing(LightningModule):
    def training_step(self, batch, index):
        print(f"batches trained: {index + 1} of 100", flush=True)
        if index == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    configure_optimizers = lambda self: None


quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
trainer = Trainer(max_epochs=1, accelerator="cpu", **quiet)
try:
    trainer.fit(Nothing(), DataLoader(batch.repeat(100, 1)))
except SystemExit as error:
    print(f"fit raised {type(error).__name__}, a SystemExit with code {error.code}")
    raise
PY
code=0
env/bin/python look.py > said 2> /dev/null || code=$?
echo "exit code: $code" >> said
tail -n 3 said
grep -qxF "batches trained: 4 of 100" said && ! grep -qxF "batches trained: 5 of 100" said
grep -qxF "fit raised SIGTERMException, a SystemExit with code None" said
grep -qxF "exit code: 0" said
