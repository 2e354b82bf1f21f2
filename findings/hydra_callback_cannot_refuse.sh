#!/usr/bin/env bash
# hydra-core 1.3.8: an exception in a callback's on_run_start or on_job_start does not stop the job.
# Hydra turns it into a warning and runs the job all the same, with exit code 0. A callback that is
# to keep a job from running has to raise SystemExit.
#
# Output seen:
#   raise: on_run_start raised ValueError, the job ran, exit code 0
#   exit: , , exit code 2
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check hydra-core==1.3.8 omegaconf==2.3.0
cat > job.py <<'PY'
import sys

import hydra
from hydra.experimental.callback import Callback


class Refuse(Callback):
    def __init__(self, how):
        self.how = how

    def on_run_start(self, config, **_):
        if self.how == "exit":
            sys.exit(2)
        raise ValueError("the folder is taken")


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(cfg):
    print("the job ran")


main()
PY
echo "hydra: {callbacks: {refuse: {_target_: __main__.Refuse, how: raise}}}" > config.yaml
for how in raise exit; do
    env/bin/python job.py hydra.callbacks.refuse.how=$how > said 2> warned && code=0 || code=$?
    echo "$how: $(grep -o "on_run_start raised ValueError" warned), $(cat said), exit code $code"
done | tee all
grep -qxF "raise: on_run_start raised ValueError, the job ran, exit code 0" all
grep -qxF "exit: , , exit code 2" all
