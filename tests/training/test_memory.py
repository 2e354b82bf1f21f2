from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from missrec.training.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
for _ in range(16):
    torch.ones(16, 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    torch.ones(16, 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_a_block_that_was_freed_is_not_mapped_again() -> None:
    faults = {
        mode: int(
            subprocess.run(
                [sys.executable, "-c", FAULTS, mode], check=True, capture_output=True, text=True
            ).stdout
        )
        for mode in ("given back", "kept")
    }
    assert faults["kept"] < faults["given back"] / 10


GIVEN_BACK = """
import torch
from missrec.training.module import RecommenderModule
from missrec.training.memory import keep_freed_memory

def resident():
    with open("/proc/self/status") as status:
        return int(status.read().partition("RssAnon:")[2].split()[0])

ranking = RecommenderModule(
    model=torch.nn.Identity(), optimizer=None, spans=[], cutoffs=[1], filter_seen=False,
    users_per_tile=1, items_per_tile=1, identity={},
)
assert keep_freed_memory()
blocks = [torch.ones(2**20) for _ in range(64)]
pinned = torch.ones(1000)
full = resident()
del blocks
assert resident() > full - 2**14
getattr(ranking, "HOOK")()
assert resident() < full - 2**17
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
@pytest.mark.parametrize(
    "hook", ["on_train_epoch_start", "on_validation_epoch_start", "on_test_epoch_start"]
)
def test_epochs_and_rankings_begin_with_what_is_in_use(hook: str) -> None:
    source = GIVEN_BACK.replace("HOOK", hook)
    subprocess.run([sys.executable, "-c", source], check=True)
