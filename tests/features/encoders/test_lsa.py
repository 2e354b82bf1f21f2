from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from missrec.features.encoders import lsa
from missrec.features.encoders.lsa import LsaEncoder
from toy_encoder import write_items

TEXTS = ["red paint brush", "paint brush blue", "green tea", "black tea leaves", "red tea", ""]
GIVEN = TEXTS[:5]


@pytest.fixture
def domain(tmp_path: Path) -> Path:
    write_items(tmp_path / "tiny", TEXTS)
    return tmp_path / "tiny"


def encoder(domain: Path, **changes: Any) -> LsaEncoder:
    settings: dict[str, Any] = {
        "fit_on": [str(domain)],
        "fitted": None,
        "cache_dir": str(domain.parent / "encoders"),
        "dim": 3,
        "max_ngram": 1,
        "min_documents": 1,
        "max_terms": 100,
        "seed": 0,
    }
    return LsaEncoder(**settings | changes)


def encode(encoder: LsaEncoder, texts: list[str]) -> np.ndarray:
    return encoder.encode("text", encoder.load("text", texts).values).numpy()


def test_full_rank_features_keep_every_inner_product_of_tf_idf(domain: Path) -> None:
    features = encode(encoder(domain, dim=5), GIVEN)  # 5 texts: rank 5
    tfidf = TfidfVectorizer(sublinear_tf=True).fit_transform(GIVEN).toarray()
    np.testing.assert_allclose(features @ features.T, tfidf @ tfidf.T, atol=1e-6)


def test_features_are_projected_on_the_leading_singular_directions(domain: Path) -> None:
    features = encode(encoder(domain), GIVEN)
    tfidf = TfidfVectorizer(sublinear_tf=True).fit_transform(GIVEN).toarray()
    directions = np.linalg.svd(tfidf)[2][:3]
    directions *= np.sign([row[np.abs(row).argmax()] for row in directions])[:, None]
    np.testing.assert_allclose(features, tfidf @ directions.T, atol=1e-5)


def test_text_without_a_known_word_is_told(domain: Path) -> None:
    loaded = encoder(domain).load("text", ["zebra", "tea zebra", "!?"])
    assert loaded.outcomes == ["no_known_word", "ok", "no_known_word"]


def test_fitting_again_gives_the_same_files(domain: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        encoder(domain, cache_dir=str(tmp_path / name))
    (one,), (two,) = ((tmp_path / name).iterdir() for name in ("a", "b"))
    assert one.name == two.name
    assert {path.name: path.read_bytes() for path in one.iterdir()} == {
        path.name: path.read_bytes() for path in two.iterdir()
    }
    files = {"vocabulary.json", "idf.npy", "components.npy", "manifest.json"}
    assert {path.name for path in one.iterdir()} == files


def test_an_encoder_is_fitted_once(domain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = encoder(domain)
    monkeypatch.setattr(lsa, "TruncatedSVD", None)
    again = encoder(domain)
    np.testing.assert_array_equal(encode(again, GIVEN), encode(first, GIVEN))
    assert again.description("text") == first.description("text")


def test_a_fitted_encoder_serves_another_domain(domain: Path, tmp_path: Path) -> None:
    first = encoder(domain)
    (folder,) = (tmp_path / "encoders").iterdir()
    moved = folder.rename(tmp_path / "moved")
    other = encoder(tmp_path / "absent", fitted=str(moved))
    np.testing.assert_array_equal(encode(other, ["tea"]), encode(first, ["tea"]))
    assert other.description("text")["fitted_on"] == ["tiny"]


@pytest.mark.parametrize("change", [{"dim": 2}, {"max_ngram": 2}, {"seed": 1}, {"max_terms": 5}])
def test_another_setting_is_another_encoder(domain: Path, change: dict[str, int]) -> None:
    first, other = encoder(domain), encoder(domain, **change)
    assert other.description("text") != first.description("text")


def test_other_texts_are_another_encoder(domain: Path, tmp_path: Path) -> None:
    encoder(domain)
    write_items(domain, [*TEXTS, "white paint"])
    encoder(domain)
    assert len(list((tmp_path / "encoders").iterdir())) == 2


def test_more_directions_than_texts_or_terms_are_refused(domain: Path) -> None:
    with pytest.raises(ValueError, match=r"dim \(6\) must be at most 5: tiny has 5 texts with"):
        encoder(domain, dim=6)


def test_domains_without_texts_are_refused(tmp_path: Path) -> None:
    write_items(tmp_path / "tiny", [" "])
    with pytest.raises(ValueError, match=r"fit_on \(tiny\): no item there has a text"):
        encoder(tmp_path / "tiny")


def test_damaged_encoder_is_refused(domain: Path, tmp_path: Path) -> None:
    encoder(domain)
    (folder,) = (tmp_path / "encoders").iterdir()
    (folder / "idf.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=r"idf.npy has 0 bytes.*fit the encoder again"):
        encoder(domain)
