from __future__ import annotations

import hashlib

import polars as pl
import pytest

from missrec.features.inputs import ItemTexts, ItemTextsWithoutWords

WORDS = " ".join(f"word{number}" for number in range(400))
ITEMS = pl.DataFrame(
    {"item_id": [1, 2, 3, 4], "text": [WORDS, "alone", " ", None]},
    schema_overrides={"item_id": pl.UInt32},
)


def without_words(prob: float, *, seed: int = 0) -> pl.DataFrame:
    return ItemTextsWithoutWords(word_drop_prob=prob, seed=seed).find("tiny", ITEMS)


def test_a_share_of_the_words_goes_and_the_others_keep_their_order() -> None:
    kept = without_words(0.25)["input"][0].split()
    assert 270 < len(kept) < 330
    assert kept == [word for word in WORDS.split() if word in kept]


def test_one_word_stays_and_no_text_stays_none() -> None:
    for seed in range(20):
        found = without_words(0.99, seed=seed)
        assert found["input"][0]
        assert found["input"].to_list()[1:] == ["alone", None, None]
    assert found["outcome"].to_list() == ["ok", "ok", "no_text", "no_text"]


def test_the_digest_is_that_of_the_words_left() -> None:
    found = without_words(0.5)
    text = found["input"][0]
    assert found["sha256"][0] == hashlib.sha256(text.encode()).hexdigest()
    assert without_words(0.0).equals(ItemTexts().find("tiny", ITEMS))


def test_the_seed_and_the_text_alone_decide() -> None:
    one = without_words(0.5)
    assert without_words(0.5).equals(one)
    assert not without_words(0.5, seed=1).equals(one)
    turned = ItemTextsWithoutWords(word_drop_prob=0.5, seed=0).find("tiny", ITEMS.reverse())
    assert turned.reverse().equals(one)


@pytest.mark.parametrize("prob", [-0.1, 1.0])
def test_a_probability_outside_its_range_is_refused(prob: float) -> None:
    with pytest.raises(ValueError, match=r"word_drop_prob .* must be in \[0, 1\)"):
        without_words(prob)
