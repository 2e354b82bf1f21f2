#!/usr/bin/env bash
# hydra-core 1.3.8: an exception in a callback's on_run_start or on_job_start does not stop the job.
# Hydra turns it into a warning and runs the job all the same, with exit code 0. A callback that is
# to keep a job from running has to raise SystemExit.
#
# Output seen:
#   Callback Refuse.on_run_start raised ValueError: the folder is taken
#   the job ran
#   exit code 0
#   with SystemExit: exit code 2, the job did not run
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check hydra-core==1.3.8 omegaconf==2.3.0
cat > job.py <<'PY'
import sys
import warnings

import hydra
from hydra.experimental.callback import Callback

warnings.formatwarning = lambda message, *_: f"{message}\n"


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
cat > config.yaml <<'YAML'
hydra:
  callbacks:
    refuse:
      _target_: __main__.Refuse
      how: raise
YAML
env/bin/python job.py > said 2>&1 && code=0 || code=$?
grep -v "^\[" said
echo "exit code $code"
[ "$code" = 0 ] && grep -q "^the job ran" said && grep -q "Refuse.on_run_start raised ValueError" said
env/bin/python job.py hydra.callbacks.refuse.how=exit > said 2>&1 && code=0 || code=$?
[ "$code" = 2 ] && ! grep -q "the job ran" said
echo "with SystemExit: exit code 2, the job did not run"
