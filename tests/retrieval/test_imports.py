from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).resolve().parents[2] / "src"
MODULES = sorted(
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")
    for path in (SRC / "missrec" / "retrieval").rglob("*.py")
)


def test_retrieval_loads_no_trainer_no_hydra_and_no_index_that_is_not_used() -> None:
    assert "missrec.retrieval.exact" in MODULES
    program = f"import sys, {', '.join(MODULES)}; print(*sys.modules)"
    environment = {"PYTHONPATH": str(SRC)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "missrec" in loaded
    assert not loaded & {"pytorch_lightning", "lightning", "hydra", "faiss", "pymilvus", "wandb"}
