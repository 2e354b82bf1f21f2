#!/usr/bin/env bash
# wandb 0.31.0: offline, resume="must" takes a run that never was, and one that was begins again.
# One would guess that "must" refuses an unknown run, and that steps and summary of a known one go
# on. Both come from the server; offline nobody is asked, nothing is read from the folder of before,
# and the steps of the second part begin at 0 among those of the first when both are synced.
#
# Output seen:
#   after three steps: step 3
#   the same id, must: step 0, resumed False, summary {}
#   an id that never was, must: step 0, resumed False
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check wandb==0.31.0
cat > look.py <<'PY'
import wandb


def run(name, resume=None):
    return wandb.init(mode="offline", project="shop", id=name, resume=resume, settings=quiet)


quiet = wandb.Settings(silent=True, console="off")
with run("known") as first:
    for loss in (0.9, 0.8, 0.7):
        first.log({"loss": loss})
    print("after three steps: step", first.step)
with run("known", "must") as again:
    begun = f"step {again.step}, resumed {again.resumed}"
    print(f"the same id, must: {begun}, summary {dict(again.summary)}")
with run("unknown", "must") as other:
    print(f"an id that never was, must: step {other.step}, resumed {other.resumed}")
PY
HOME="$place" env/bin/python look.py | tee said
grep -qxF "after three steps: step 3" said
grep -qxF "the same id, must: step 0, resumed False, summary {}" said
grep -qxF "an id that never was, must: step 0, resumed False" said
