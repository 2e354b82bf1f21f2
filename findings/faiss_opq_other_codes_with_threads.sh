#!/usr/bin/env bash
# faiss-cpu 1.15.1: OPQ learned with two threads gives other codes than with one.
# One would guess that threads change the last bit of a sum at most, and no code. They do change
# the last bits, and the rounds of k-means and rotation, each on the result of the one before, carry
# that to other codebooks: the same features, seed and version on a machine with more cores, or by
# one of several processes that share the cores, give items other codes.
#
# Output seen:
#   one thread and one thread: the same codes, one and two: other codes
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check faiss-cpu==1.15.1 numpy==2.4.6
cat > look.py <<'PY'
import faiss
import numpy as np

draw = np.random.default_rng(0)
plane = draw.standard_normal((600, 2)) @ draw.standard_normal((2, 48))
vectors = (plane + 0.1 * draw.standard_normal((600, 48))).astype(np.float32)


def codes(threads):
    faiss.omp_set_num_threads(threads)
    index = faiss.index_factory(48, "OPQ4_48,PQ4x6np")
    index.train(vectors)
    return index.sa_encode(vectors)


one, again, two = codes(1), codes(1), codes(2)
print("one thread and one thread:", "the same" if np.array_equal(one, again) else "other", end=" codes, ")
print("one and two:", "the same" if np.array_equal(one, two) else "other", "codes")
PY
env/bin/python look.py 2> warned | tee said
grep -qxF "one thread and one thread: the same codes, one and two: other codes" said
