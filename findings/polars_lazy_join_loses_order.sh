#!/usr/bin/env bash
# polars 2.1.0: a left join of lazy frames gives the rows in another order; of eager ones, in theirs.
# One would guess that .lazy() and .collect() change the speed and not the result, and that a left
# join keeps the order of the left rows, as the eager one does. Since the default engine streams, a
# hundred rows suffice. maintain_order="left" keeps it.
#
# Output seen:
#   eager: in order
#   lazy: in another order
#   lazy, maintain_order: in order
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check polars==2.1.0
cat > look.py <<'PY'
import polars as pl

left = pl.DataFrame({"item": list(range(100))[::-1], "place": list(range(100))})
right = pl.DataFrame({"item": list(range(100)), "title": list(range(100))})
joined = {
    "eager": left.join(right, on="item", how="left"),
    "lazy": left.lazy().join(right.lazy(), on="item", how="left").collect(),
    "lazy, maintain_order": left.lazy()
    .join(right.lazy(), on="item", how="left", maintain_order="left")
    .collect(),
}
for name, frame in joined.items():
    print(f"{name}:", "in order" if frame["place"].is_sorted() else "in another order")
PY
env/bin/python look.py | tee said
grep -qxF "eager: in order" said
grep -qxF "lazy: in another order" said
grep -qxF "lazy, maintain_order: in order" said
