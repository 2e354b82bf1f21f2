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
        "max_char_ngram": 3,
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


@pytest.mark.parametrize(
    "change", [{"dim": 2}, {"max_ngram": 2}, {"max_char_ngram": 2}, {"seed": 1}, {"max_terms": 5}]
)
def test_another_setting_is_another_encoder(domain: Path, change: dict[str, int]) -> None:
    first, other = encoder(domain), encoder(domain, **change)
    assert other.description("text") != first.description("text")


def test_an_encoder_from_before_characters_were_terms_is_found_and_encodes_as_it_did(
    tmp_path: Path,
) -> None:
    texts = [*GIVEN, "手机壳 हिन्दी café", "手机壳 हिन्दी C++"]
    write_items(tmp_path / "tiny", texts)
    before = encoder(tmp_path / "tiny", max_char_ngram=0)
    (folder,) = (tmp_path / "encoders").iterdir()
    assert folder.name == "lsa-01c400c4"  # as it was named then
    described = before.description("text")
    assert set(described["settings"]) == {"dim", "max_ngram", "min_documents", "max_terms", "seed"}
    assert set(described["packages"]) == {"scikit-learn", "scipy", "numpy"}

    encoder(tmp_path / "tiny")
    assert len(list((tmp_path / "encoders").iterdir())) == 2
    again = encoder(tmp_path / "absent", fitted=str(folder))
    assert again.description("text") == described
    for known in (before, again):
        # One word to a run of Chinese, pieces of Hindi words, and no sign.
        outcomes = known.load("text", ["手机壳", "手机", "हि", "C++", "Café"]).outcomes
        assert outcomes == ["ok", "no_known_word", "no_known_word", "no_known_word", "ok"]
    directions = encode(again, texts)
    tfidf = TfidfVectorizer(sublinear_tf=True, strip_accents="unicode").fit_transform(texts)
    exact = encode(encoder(tmp_path / "tiny", max_char_ngram=0, dim=7), texts)
    np.testing.assert_allclose(exact @ exact.T, (tfidf @ tfidf.T).toarray(), atol=1e-6)
    assert directions.shape == (7, 3)


TOPICS = {
    "chinese": {
        "phone": "手机 手机壳 充电器 耳机 屏幕 数据线",
        "tea": "绿茶 红茶 茶叶 茶壶 茶杯 乌龙茶",
        "garden": "花盆 种子 肥料 园艺 铲子 浇水",
        "": "新款 优质 家用 正品",
    },
    "japanese": {
        "phone": "スマホ ケース 充電器 イヤホン 画面 ケーブル",
        "tea": "緑茶 紅茶 お茶 急須 湯のみ 茶葉",
        "garden": "植木鉢 種 肥料 園芸 スコップ 水やり",
        "": "新しい 高品質な 家庭用の 人気の",
    },
    "thai": {
        "phone": "โทรศัพท์ เคส สายชาร์จ หูฟัง หน้าจอ แบตเตอรี่",
        "tea": "ชาเขียว ชาดำ ใบชา กาน้ำชา ถ้วยชา ชามะลิ",
        "garden": "กระถาง เมล็ดพันธุ์ ปุ๋ย ทำสวน พลั่ว รดน้ำ",
        "": "ใหม่ คุณภาพดี สำหรับบ้าน ของแท้",
    },
    "hindi": {
        "phone": "मोबाइल कवर चार्जर हेडफ़ोन स्क्रीन केबल",
        "tea": "चाय पत्ती केतली प्याला अदरक इलायची",
        "garden": "गमला बीज खाद बागवानी फावड़ा पौधा",
        "": "नया बढ़िया घरेलू असली",
    },
}
"""Language -> topic -> its words; those of no topic occur with all."""


@pytest.mark.parametrize("language", TOPICS)
def test_texts_of_a_topic_are_neighbours_in_any_script(language: str, tmp_path: Path) -> None:
    between = " " if language == "hindi" else ""
    topics = {topic: words.split() for topic, words in TOPICS[language].items()}
    general = topics.pop("")
    generator = np.random.default_rng(0)
    texts, labels = [], []
    for topic in list(topics) * 60:
        words = [*generator.choice(topics[topic], 3, replace=False), generator.choice(general)]
        texts.append(between.join(generator.permutation(words)))
        labels.append(topic)
    write_items(tmp_path / "shop", texts[:90])
    fitted = encoder(tmp_path / "shop", dim=16, max_ngram=2, min_documents=2, max_terms=1000)
    loaded = fitted.load("text", texts[90:])  # texts that it was not fitted on
    assert loaded.outcomes == ["ok"] * 90
    features = loaded.values.numpy() / np.linalg.norm(loaded.values.numpy(), axis=1)[:, None]
    similar = features @ features.T - 2 * np.eye(90)
    nearest = np.array(labels[90:])[similar.argmax(axis=1)]
    assert (nearest == labels[90:]).all()


def test_most_unspaced_texts_were_unknown_before(tmp_path: Path) -> None:
    words = TOPICS["chinese"]["phone"].split()
    texts = [a + b + c for a in words for b in words for c in words]
    write_items(tmp_path / "shop", texts[:100])
    before = encoder(tmp_path / "shop", max_char_ngram=0)
    assert set(before.load("text", texts[100:]).outcomes) == {"no_known_word"}
    assert set(encoder(tmp_path / "shop").load("text", texts[100:]).outcomes) == {"ok"}


def test_a_negative_length_of_runs_is_refused(domain: Path) -> None:
    with pytest.raises(ValueError, match=r"max_char_ngram \(-1\) must be at least 0"):
        encoder(domain, max_char_ngram=-1)


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
