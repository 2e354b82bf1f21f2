#!/usr/bin/env bash
# locust 2.47.0: percentiles of response times are of rounded times: to two digits, and below a
# millisecond to 0 or 1.
# One would guess that the 99th percentile lies among the times that were measured. 3,432 and 3,449 ms
# are both kept as 3,400, below either; 0.4 ms is kept as 0. Only the least, the largest and the mean
# are of what was measured, so a ratio of percentiles of a fast service is a ratio of roundings.
#
# Output seen:
#   147 ms: median 150, largest 147
#   3449 ms: median 3400, largest 3449
#   0.4 ms: kept as {0: 1}, largest 0.4
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check locust==2.47.0
cat > look.py <<'PY'
from locust.stats import RequestStats, StatsEntry

for time in (147, 3449, 0.4):
    entry = StatsEntry(RequestStats(), "/v1/recommend", "POST")
    for _ in range(3 if time > 1 else 1):
        entry.log(time, 0)
    kept = f"kept as {dict(entry.response_times)}"
    middle = f"median {entry.get_response_time_percentile(0.5)}"
    print(f"{time} ms: {middle if time > 1 else kept}, largest {entry.max_response_time}")
PY
env/bin/python look.py | tee said
grep -qxF "147 ms: median 150, largest 147" said
grep -qxF "3449 ms: median 3400, largest 3449" said
grep -qxF "0.4 ms: kept as {0: 1}, largest 0.4" said
