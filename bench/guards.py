"""Guards against what libraries do: let into a copy of src, each behaviour is seen by a test.

python bench/guards.py           # copies the checkout and runs the tests; writes a table of
                                 # docs/reliability.md. Some minutes
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src")]

from between import markdown_table, write_between
from measured import print_table, write_report

SRC = "src/missrec"


class Guard(NamedTuple):
    """A behaviour, a change of a file that lets it in, and the tests that see it.

    Attributes:
        behaviour: what a library does.
        file: that is changed.
        ours: a part of it that guards, once in the file.
        instead: what the file has in its place.
        tests: arguments of pytest.
    """

    behaviour: str
    file: str
    ours: str
    instead: str
    tests: tuple[str, ...]


IMPORT = "from __future__ import annotations\n"
GUARDS = [
    Guard(
        "FAISS loses near vectors far from the origin",
        f"{SRC}/interests/neighbors.py",
        "(tokens - tokens.mean(dim=0)).contiguous()",
        "tokens.contiguous()",
        ("tests/test_faiss_calls.py",),
    ),
    Guard(
        "the same, in a new search",
        f"{SRC}/retrieval/table.py",
        IMPORT,
        IMPORT + "import faiss\ndef near(rows):\n    return faiss.IndexFlatL2(3).search(rows, 5)\n",
        ("tests/test_faiss_calls.py::test_every_search_by_faiss_was_judged",),
    ),
    Guard(
        "FAISS gives equal inner products last row first",
        f"{SRC}/retrieval/bounded.py",
        "bounds[:, -1].double() + margin[open_users]",
        "bounds[:, -1].double() - 2 * margin[open_users]",
        ("tests/test_faiss_calls.py",),
    ),
    Guard(
        "FAISS's PCA moves rows by their mean, and so changes inner products",
        f"{SRC}/retrieval/faiss_index.py",
        "            transform.have_bias = False",
        "            pass",
        ("tests/retrieval/test_faiss_index.py",),
    ),
    Guard(
        "polars' lazy joins lose the order of rows",
        f"{SRC}/data/sources/timeline.py",
        'found = events.select(key).join(places, on=key, how="left", maintain_order="left")',
        'found = events.lazy().select(key).join(places.lazy(), key, "left").collect()',
        ("tests/test_joins.py",),
    ),
    Guard(
        "bfloat16 gradients of an embedding end at 256",
        f"{SRC}/nn/precision.py",
        "F.embedding(index, single(rows))",
        "F.embedding(index, rows)",
        ("tests/nn/test_popular_items.py",),
    ),
    Guard(
        "OPQ learned by another number of threads gives other codes",
        f"{SRC}/features/quantization.py",
        "faiss.omp_set_num_threads(1)",
        "pass",
        ("tests/features/test_quantization.py::test_no_number_of_threads_changes_a_code",),
    ),
    Guard(
        "argsort of ties is not stable",
        f"{SRC}/interests/dpc_knn.py",
        "by_density = log_density.argsort(descending=True, stable=True)",
        "by_density = log_density.argsort(descending=True)",
        ("tests/test_ties.py",),
    ),
    Guard(
        "equal scores of a search come by no order",
        f"{SRC}/retrieval/best.py",
        "order = places.argsort(stable=True)",
        "order = places.argsort(descending=True, stable=True)",
        ("tests/retrieval/test_searches.py",),
    ),
    Guard(
        "equal tokens round to other densities",
        f"{SRC}/interests/dpc_knn.py",
        "(-squared_sum / num_neighbors)[first]",
        "-squared_sum / num_neighbors",
        ("tests/interests/test_equal_tokens.py",),
    ),
    Guard(
        "a product of 1 to 3 rows has other last bits",
        f"{SRC}/retrieval/bounded.py",
        "best.add(owners, places, self._table.pair_scores_at(encoded, owners, places).total)",
        "best.add(owners, places, scores[rows, columns].double())",
        ("tests/retrieval/test_searches.py",),
    ),
    Guard(
        "attention to padding alone is NaN",
        f"{SRC}/nn/rows.py",
        "mask = valid_mask | ~valid_mask.any(dim=1, keepdim=True)",
        "mask = valid_mask",
        ("tests/nn/test_rows.py", "tests/nn/test_attention.py"),
    ),
    Guard(
        "a sequence of padding alone is a number",
        f"{SRC}/nn/pooling.py",
        "weights = valid_mask.to(embeddings.dtype)",
        "valid_mask = valid_mask | ~valid_mask.any(dim=1, keepdim=True)\n"
        "    weights = valid_mask.to(embeddings.dtype)",
        ("tests/nn/test_all_padding.py",),
    ),
    Guard(
        "open_clip takes GELU where the tag means QuickGELU",
        f"{SRC}/features/encoders/clip.py",
        'if bool(tag.get("quick_gelu")) != bool(config.get("quick_gelu")):',
        "if False:",
        ("tests/features/encoders/test_quickgelu.py",),
    ),
    Guard(
        "NumPy takes a torch mask of one row for a number",
        f"{SRC}/retrieval/predicted_ids.py",
        "raw[is_there] = ",
        "raw[present] = ",
        ("tests/retrieval/test_new_items.py", "-k", "linear_rule"),
    ),
    Guard(
        "torch.onnx fixes the number of users where len() asks for it",
        f"{SRC}/retrieval/onnx_export.py",
        "nothing = torch.zeros_like(item_ids[:, 0])",
        "nothing = torch.zeros(len(item_ids), dtype=item_ids.dtype)",
        ("tests/retrieval/test_onnx_export.py",),
    ),
    Guard(
        "processes with one seed propose the same trials",
        f"{SRC}/search/study.py",
        "np.random.SeedSequence([self._seed, number])",
        "np.random.SeedSequence([self._seed])",
        ("tests/search/test_study.py",),
    ),
    Guard(
        "Lightning starts a loader anew inside an epoch",
        f"{SRC}/data/loader.py",
        'first_batch=state["num_batches"]',
        "first_batch=0",
        ("tests/training/test_resume.py", "-k", "inside_an_epoch"),
    ),
    Guard(
        "Lightning's CSVLogger empties the file of a version",
        "conf/logger/csv.yaml",
        "name: csv",
        "version: 0\n  name: csv",
        ("tests/test_lightning.py",),
    ),
    Guard(
        "Lightning's epoch is 0 at a resumed start",
        f"{SRC}/training/callbacks.py",
        "self.on_train_epoch_start(trainer, pl_module)",
        "self._epoch = trainer.current_epoch",
        ("tests/test_lightning.py",),
    ),
]


def main() -> None:
    """Lets each behaviour in and tells the first test to fail; ends with 1 where none did."""
    chosen = [guard for guard in GUARDS if all(word in guard.behaviour for word in sys.argv[1:])]
    with tempfile.TemporaryDirectory() as folder:
        place = copied(Path(folder) / "copy")
        rows, missed, seeing = [], [], []
        for guard in chosen:
            found = let_in(place, guard)
            shown = found[0].rpartition("::")[2].partition("[")[0] if found else "none"
            rows.append([guard.behaviour, f"`{guard.tests[0].partition('::')[0]}`", f"`{shown}`"])
            print(rows[-1], flush=True)
            missed += [guard.behaviour] * (not found)
            seeing += found
        assert not failures(place, *seeing), "they fail without a change too"
    columns = ["a library's behaviour, let in", "seen by", "first of its tests"]
    print_table("guards", columns, rows)
    if chosen == GUARDS:
        page = ROOT / "docs" / "reliability.md"
        write_between(page, "guards", markdown_table(columns, rows))
        write_report("guards", {row[0]: row[1:] for row in rows}, show=False)
    sys.exit("\n".join(f"no test sees: {behaviour}" for behaviour in missed) or 0)


def copied(place: Path) -> Path:
    """A copy of what git knows of the checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)
    return place


def let_in(place: Path, guard: Guard) -> list[str]:
    """The tests that fail once a file is changed, which is then as it was.

    Raises:
        ValueError: the file has not the part that guards, once.
    """
    file = place / guard.file
    before = file.read_text(encoding="utf-8")
    if before.count(guard.ours) != 1:
        raise ValueError(f"{guard.file} has {before.count(guard.ours)} times: {guard.ours}")
    file.write_text(before.replace(guard.ours, guard.instead), encoding="utf-8")
    try:
        return failures(place, *guard.tests)
    finally:
        file.write_text(before, encoding="utf-8")


def failures(place: Path, *tests: str) -> list[str]:
    """The first test that fails, if any does."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "--numprocesses=0", "-xrf", "--tb=no", *tests],
        cwd=place,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if ended.returncode not in {0, 1}:  # nothing was tested
        raise RuntimeError(ended.stdout[-2000:] + ended.stderr[-2000:])
    lines = ended.stdout.splitlines()
    return [line.split()[1] for line in lines if line.startswith("FAILED ")]


if __name__ == "__main__":
    main()
