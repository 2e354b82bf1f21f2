"""Files of vectors that another program made: what is read of them, and what is refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from missrec.features.vectors import Vectors, read_vectors

KEYS = ["b", "a", "c"]
VALUES = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32)


def read(path: Path, keys: Path | None = None, **columns: str | None) -> Vectors:
    return read_vectors(path, keys=keys, **{"key_column": None, "vector_column": None} | columns)


def npy(folder: Path, values: Any = VALUES, keys: str | None = "b\na\nc\n") -> Path:
    path = folder / "vectors.npy"
    np.save(path, values)
    if keys is not None:
        (folder / "vectors.keys.txt").write_bytes(keys.encode())
    return path


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "vectors.npz", **arrays or {"keys": KEYS, "vectors": VALUES})
    return folder / "vectors.npz"


def parquet(folder: Path, columns: dict[str, Any] | None = None) -> Path:
    path = folder / "vectors.parquet"
    pl.DataFrame(columns or {"sku": KEYS, "vec": VALUES.tolist()}).write_parquet(path)
    return path


def keyed_by_array(folder: Path) -> Path:
    np.save(folder / "vectors.keys.npy", np.array(KEYS))
    return npy(folder, keys=None)


def windows_text(folder: Path) -> Path:
    return npy(folder, keys="\ufeffb\r\na\r\nc")


def fixed_lists(folder: Path) -> Path:
    lists = pl.Series(VALUES.tolist(), dtype=pl.Array(pl.Float32, 2))
    return parquet(folder, {"sku": KEYS, "vec": lists})


@pytest.mark.parametrize(
    "write",
    [npy, npz, parquet, keyed_by_array, windows_text, fixed_lists],
    ids=lambda w: w.__name__,
)
def test_each_kind_of_file_gives_the_vector_of_each_key(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    found = read(write(tmp_path))
    assert found.keys.to_list() == KEYS
    assert found.values.tolist() == VALUES.tolist()


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [
        ("float16", "float16"),
        *((dtype, "float32") for dtype in ("float32", "float64", ">f4", "int8", "uint64")),
    ],
)
def test_floats_stay_as_they_are_and_other_numbers_become_float32(
    tmp_path: Path, dtype: str, kept: str
) -> None:
    found = read(npy(tmp_path, VALUES.astype(dtype)))
    assert (found.values.dtype, found.dtype) == (np.dtype(kept), str(np.dtype(dtype)))
    assert found.values.tolist() == VALUES.tolist()


@pytest.mark.parametrize(
    "keys",
    [np.array([12, 7, 300]), np.array([12.0, 7.0, 300.0]), np.array([b"12", b"7", b"300"])],
)
def test_keys_of_any_type_are_read_as_ids_are(tmp_path: Path, keys: np.ndarray) -> None:
    for path in (npz(tmp_path, keys=keys, x=VALUES), parquet(tmp_path, {"k": keys, "v": VALUES})):
        assert read(path).keys.to_list() == ["12", "7", "300"]


def test_keys_that_are_decimals_are_read_as_ids_are(tmp_path: Path) -> None:
    keys = [Decimal("12.00"), Decimal("7.50"), Decimal("-300.00")]
    path = parquet(tmp_path, {"k": keys, "v": VALUES})
    assert read(path).keys.to_list() == ["12", "7.5", "-300"]


def test_keys_that_are_bytes_of_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"vectors.npz: its keys are bytes that are no UTF-8"):
        read(npz(tmp_path, keys=np.array([b"a", b"\xe9", b"c"]), x=VALUES))


def test_an_npz_without_keys_and_an_npy_take_the_file_that_is_named(tmp_path: Path) -> None:
    keys = tmp_path / "order (1).txt"
    keys.write_text("b\na\nc\n")
    for path in (npz(tmp_path, vectors=VALUES), npy(tmp_path, keys=None)):
        assert read(path, keys).keys.to_list() == KEYS


def test_rows_of_parquet_without_a_list_have_no_vector(tmp_path: Path) -> None:
    path = parquet(tmp_path, {"sku": ["b", "a", "c", "d"], "vec": [[1.0, 2.0], None, [], [3, 4]]})
    found = read(path)
    assert found.keys.to_list() == ["b", "d"]
    assert found.values.tolist() == [[1, 2], [3, 4]]


def test_columns_of_parquet_are_named_where_there_are_several(tmp_path: Path) -> None:
    rows = {"sku": KEYS, "title": KEYS, "vec": VALUES.tolist(), "tags": [[1, 1], [2, 2], [3, 3]]}
    path = parquet(tmp_path, rows)
    assert read(path, key_column="sku", vector_column="tags").values.tolist() == rows["tags"]
    with pytest.raises(ValueError, match="which column holds the vectors"):
        read(path, key_column="sku")
    with pytest.raises(
        ValueError, match=r"no column 'id'; which column holds the keys.*sku, title"
    ):
        read(path, key_column="id", vector_column="vec")


OBJECTS = np.array([[1, 2], [3, 4], [5, "x"]], dtype=object)
BAD = VALUES.copy()
BAD[1, 0] = np.nan
HUGE = np.array([[1, 2], [3, 1e39], [5, 6]])


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda f: npy(f, OBJECTS), "only pickle reads, and that may run code"),
        (lambda f: npz(f, keys=np.array(KEYS, dtype=object), x=VALUES), "only pickle reads"),
        (lambda f: npy(f, BAD), "row 2 holds NaN, Inf, nothing"),
        (lambda f: npy(f, HUGE), "row 2 holds .* a number beyond float32"),
        (lambda f: npy(f, VALUES[0]), r"has shape \(2,\), expected rows"),
        (lambda f: npy(f, VALUES[:, :0]), r"has shape \(3, 0\)"),
        (lambda f: npy(f, VALUES.astype("U3")), "holds <U3, expected numbers"),
        (lambda f: npy(f, VALUES > 1), "holds bool, expected numbers"),
        (lambda f: npy(f, VALUES + 1j), "holds complex64, expected numbers"),
        (lambda f: npy(f, keys="b\na\n"), "has 3 rows, and there are 2 keys"),
        (lambda f: npy(f, keys="key\nb\na\nc\n"), "has 3 rows, and there are 4 keys"),
        (lambda f: npy(f, keys="b\n\nc\n"), "row 2 has no key"),
        (lambda f: npy(f, keys="b\na\nb\n"), r"key 'b' occurs twice \(1 such keys\)"),
        (lambda f: npy(f, keys=None), r"vectors\.keys\.txt is missing, which says the item key"),
        (lambda f: npz(f, keys=KEYS), "holds keys; expected keys and one array"),
        (lambda f: npz(f, keys=KEYS, a=VALUES, b=VALUES), "holds a, b, keys; expected keys"),
        (lambda f: npz(f, keys=[[1.5], [2], [3]], a=VALUES), "its keys are"),
        (lambda f: parquet(f, {"k": KEYS, "v": [[1, 2], [3], [4]]}), r"row 2 has 1 .* \(2 such"),
        (lambda f: parquet(f, {"k": KEYS, "v": [[1, 2], [3, None], [4, 5]]}), "row 2 holds NaN"),
        (lambda f: parquet(f, {"k": KEYS, "v": [["x"], ["y"], ["z"]]}), "expected lists of num"),
        (lambda f: parquet(f, {"k": [1.5, 2, 3], "v": VALUES}), "its keys are Float64"),
        (lambda f: parquet(f, {"k": ["a", None, "c"], "v": VALUES}), "row 2 has no key"),
        (lambda f: parquet(f, {"k": KEYS}), "which column holds the vectors"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(
    tmp_path: Path, write: Callable[[Path], Path], said: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=said) as refused:
        read(write(tmp_path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["vectors.npy", "vectors.npz", "vectors.parquet"])
@pytest.mark.parametrize("content", ["half", "pickle", "text", "empty"])
def test_a_file_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, name: str, content: str
) -> None:
    writer = {"npy": npy, "npz": npz, "parquet": parquet}[name.partition(".")[2]]
    whole = writer(tmp_path).read_bytes()
    (tmp_path / "vectors.keys.txt").write_text("b\na\nc\n")
    contents = {
        "half": whole[: len(whole) // 2],
        "pickle": pickle.dumps(VALUES.tolist()),
        "text": b"1 2\n3 4\n",
        "empty": b"",
    }
    (tmp_path / name).write_bytes(contents[content])
    with pytest.raises(ValueError, match=r"cannot be read|only pickle|no whole Parquet") as refused:
        read(tmp_path / name)
    assert "\n" not in str(refused.value)


def test_another_suffix_is_refused_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "vectors.csv").write_text("a,1\n")
    with pytest.raises(ValueError, match=r"cannot read \.csv, expected \.npy, \.npz or"):
        read(tmp_path / "vectors.csv")
    with pytest.raises(FileNotFoundError, match="is missing; name the file"):
        read(tmp_path / "nowhere.npy")
