#!/usr/bin/env bash
# prometheus-client 0.26.0: a gauge of several processes with the mode "livesum" goes on counting a
# process that is gone.
# One would guess that "live" is looked up. The file of a process counts until somebody calls
# mark_process_dead for its number, which a server that replaces its workers has to do by itself;
# requests in flight in a worker that was killed stay in flight for ever.
#
# Output seen:
#   the process is gone and counts: 3.0, once it is marked: 0.0
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check prometheus-client==0.26.0
cat > work.py <<'PY'
from prometheus_client import Gauge

Gauge("in_flight", "Requests.", multiprocess_mode="livesum").set(3)
PY
cat > look.py <<'PY'
import subprocess
import sys

from prometheus_client import CollectorRegistry, multiprocess

worker = subprocess.Popen([sys.executable, "work.py"])
worker.wait()


def in_flight():
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return registry.get_sample_value("in_flight") or 0.0


before = in_flight()
multiprocess.mark_process_dead(worker.pid)
print(f"the process is gone and counts: {before}, once it is marked: {in_flight()}")
PY
mkdir kept
PROMETHEUS_MULTIPROC_DIR="$place/kept" env/bin/python look.py | tee said
grep -qxF "the process is gone and counts: 3.0, once it is marked: 0.0" said
