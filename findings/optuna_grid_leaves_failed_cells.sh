#!/usr/bin/env bash
# optuna 4.9.0: GridSampler counts a cell whose trial failed as searched; it is not tried again, and
# the study ends as if the grid were complete.
# One would guess that a grid of three is done when three cells have a value, since a failed trial (a
# full disk, an exception that is caught) has none. The search stops by itself at three trials, and
# the best cell may be the one that is missing.
#
# Output seen:
#   asked for 10 trials, made 3: [('a', 'COMPLETE'), ('b', 'FAIL'), ('c', 'COMPLETE')]
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check optuna==4.9.0
cat > look.py <<'PY'
import optuna

optuna.logging.set_verbosity(optuna.logging.CRITICAL)


def value(trial):
    if trial.suggest_categorical("rate", ["a", "b", "c"]) == "b" and not trial.study.user_attrs:
        trial.study.set_user_attr("failed once", True)
        raise OSError("no space left")
    return 1.0


study = optuna.create_study(sampler=optuna.samplers.GridSampler({"rate": ["a", "b", "c"]}, seed=0))
study.optimize(value, n_trials=10, catch=(OSError,))
made = sorted((trial.params["rate"], trial.state.name) for trial in study.trials)
print(f"asked for 10 trials, made {len(made)}: {made}")
PY
env/bin/python look.py | tee said
grep -qxF "asked for 10 trials, made 3: [('a', 'COMPLETE'), ('b', 'FAIL'), ('c', 'COMPLETE')]" said
