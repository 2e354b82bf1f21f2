#!/usr/bin/env bash
# optuna 4.9.0: two processes of one study, whose sampler has a seed, try the same values.
# One would guess that a seed makes the search repeatable, and that processes which share a storage
# share the work. Each process begins the same sequence, whatever the others have tried: two
# processes cost twice as much and find what one finds. Without a seed, or with another for each
# process, they differ.
#
# Output seen:
#   seeds 0 and 0: 8 trials, 4 values
#   seeds 0 and 1: 8 trials, 8 values
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check optuna==4.9.0
cat > work.py <<'PY'
import sys

import optuna

optuna.logging.set_verbosity(optuna.logging.CRITICAL)
sampler = optuna.samplers.TPESampler(seed=int(sys.argv[2]))
study = optuna.load_study(study_name=sys.argv[1], storage="sqlite:///study.db", sampler=sampler)
study.optimize(lambda trial: trial.suggest_float("rate", 0, 1), n_trials=4)
PY
cat > look.py <<'PY'
import subprocess
import sys

import optuna

optuna.logging.set_verbosity(optuna.logging.CRITICAL)
for seeds in ("00", "01"):
    study = optuna.create_study(study_name=seeds, storage="sqlite:///study.db")
    for process in [subprocess.Popen([sys.executable, "work.py", seeds, seed]) for seed in seeds]:
        process.wait()
    rates = [trial.params["rate"] for trial in study.trials]
    print(f"seeds {' and '.join(seeds)}: {len(rates)} trials, {len(set(rates))} values")
PY
env/bin/python -W ignore look.py | tee said
grep -qxF "seeds 0 and 0: 8 trials, 4 values" said
grep -qxF "seeds 0 and 1: 8 trials, 8 values" said
