from __future__ import annotations

import filecmp
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from missrec.data.domain import (
    INTERACTIONS,
    ITEMS,
    USERS,
    PreparedDomain,
    read_prepared,
    write_domain,
)
from missrec.data.sources.export import MAX_HISTORY, export_domain
from synthetic import SHARED_DATA, prepared_domain, released_source, text_and_image, write_released

NAMES = st.text(st.characters(exclude_categories=["C"], exclude_characters="\t\n"), min_size=1)


def exported(folder: Path, prepared: PreparedDomain) -> Path:
    folder.mkdir()
    export_domain(folder, prepared)
    return folder


def test_files_are_those_of_the_independent_writer(tmp_path: Path) -> None:
    prepared = prepared_domain([[1, 2, 3, 4, 5, 6], [3, 1, 2], [1, 2] * 40])
    ours = exported(tmp_path / "ours", prepared)
    theirs = write_released(tmp_path / "theirs", prepared, max_history=MAX_HISTORY)
    names = sorted(path.name for path in theirs.iterdir())
    assert len(names) == 8
    assert sorted(path.name for path in ours.iterdir()) == names
    assert filecmp.cmpfiles(ours, theirs, names, shallow=False) == (names, [], [])


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_parse_write_parse_is_the_identity(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tmp_path = tmp_path_factory.mktemp("identity")
    items = data.draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    sequence = st.lists(st.integers(1, len(items)), min_size=3, max_size=60)
    sequences = data.draw(st.lists(sequence, min_size=1, max_size=4))
    users = data.draw(
        st.lists(NAMES, min_size=len(sequences), max_size=len(sequences), unique=True)
    )
    texts = data.draw(st.lists(NAMES | st.just(""), min_size=len(items), max_size=len(items)))
    features = text_and_image(num_items=len(items), missing_images=[1])
    template = prepared_domain(sequences, num_items=len(items), features=features)
    original = PreparedDomain(
        **{**vars(template), "user_keys": users, "item_keys": items, "item_texts": texts}
    )
    first = released_source(write_released(tmp_path / "first", original)).read()
    second = released_source(exported(tmp_path / "second", first)).read()
    for prepared, name in ((first, "a"), (second, "b")):
        (tmp_path / name).mkdir()
        write_domain(tmp_path / name, prepared)
    tables = [INTERACTIONS, ITEMS, USERS, "manifest.json"]
    equal, *_ = filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", tables, shallow=False)
    assert equal == tables
    np.testing.assert_equal(second.features, first.features)
    read = read_prepared(tmp_path / "b")
    assert (read.user_keys, read.item_keys, read.item_texts) == (users, items, texts)
    np.testing.assert_equal(read.items, original.items)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"user_keys": ["a\tb"]}, r"tiny: user 'a\\tb' holds a tab or a line break"),
        ({"item_texts": ["a\nb", "c"]}, r"tiny: text 'a\\nb' holds a tab or a line break"),
        (
            {"features": {"sound": np.ones((2, 3))}},
            r"features of sound, .* only has text, text_view, image",
        ),
    ],
)
def test_what_the_format_cannot_hold_is_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    template = prepared_domain([[1, 2, 1]], num_items=2, features={})
    with pytest.raises(ValueError, match=said):
        export_domain(tmp_path, PreparedDomain(**{**vars(template), **changes}))


def test_real_files_come_out_byte_for_byte_but_for_the_order_of_texts(tmp_path: Path) -> None:
    name = "scientific_mm_subset"
    original = SHARED_DATA / name
    if not original.is_dir():
        pytest.skip(f"the real data set {name} is not in shared/data beside the project")
    dims = {"text": [512], "image": [512]}
    folder = exported(
        tmp_path / "out", released_source(original, name=name, feature_dims=dims).read()
    )
    names = sorted(path.name for path in original.iterdir() if path.suffix != ".text")
    assert len(names) == 7
    assert filecmp.cmpfiles(original, folder, names, shallow=False) == (names, [], [])
    texts = [(place / f"{name}.text").read_bytes().split(b"\n") for place in (original, folder)]
    assert texts[0][0] == texts[1][0]
    assert sorted(texts[0]) == sorted(texts[1])
