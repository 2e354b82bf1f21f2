"""What features of a sentence encoder are, and what they depend on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

from tiny_sentence import (
    MAX_TOKENS,
    TEXTS,
    WIDTH,
    encode,
    sentence_encoder,
    write,
    write_tiny_sentence,
)

POOLINGS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "mean": lambda tokens: tokens.mean(dim=0),
    "cls": lambda tokens: tokens[0],
    "max": lambda tokens: tokens.amax(dim=0),
}


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("normalizes", [False, True])
def test_features_are_the_tokens_of_transformers_pooled_as_the_folder_says(
    tmp_path: Path, pooling: str, normalizes: bool
) -> None:
    folder = write_tiny_sentence(tmp_path / "tiny", pooling=pooling, normalizes=normalizes)
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in TEXTS:  # one by one: without padding
        with torch.no_grad():
            tokens = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        pooled = POOLINGS[pooling](tokens)
        rows.append(pooled / pooled.norm() if normalizes else pooled)
    features = encode(sentence_encoder(folder), TEXTS)
    assert features.shape == (3, WIDTH)
    torch.testing.assert_close(features, torch.stack(rows))


def test_features_can_have_length_one(folder: Path) -> None:
    raw, unit = (encode(sentence_encoder(folder, normalize=way), TEXTS) for way in (False, True))
    assert (raw.norm(dim=1) - 1).abs().min() > 0.01
    torch.testing.assert_close(unit, raw / raw.norm(dim=1, keepdim=True))


def test_a_prompt_stands_before_each_text(folder: Path, copied: Path) -> None:
    expected = encode(sentence_encoder(folder), ["red green tea", "red tea"])
    prompted = sentence_encoder(folder, prompt="red ")
    torch.testing.assert_close(encode(prompted, ["green tea", "tea"]), expected)
    write(
        copied / "config_sentence_transformers.json",
        {"prompts": {"item": "red "}, "default_prompt_name": "item"},
    )
    own = sentence_encoder(copied)
    torch.testing.assert_close(encode(own, ["green tea", "tea"]), expected)
    assert own.description("text")["preprocessing"]["prompt"] == "red "
    none = sentence_encoder(copied, prompt="")
    torch.testing.assert_close(encode(none, ["red green tea", "red tea"]), expected)


@pytest.mark.parametrize(
    ("words", "prompt", "outcome"),
    [
        (1, None, "ok"),
        (MAX_TOKENS - 2, None, "ok"),
        (MAX_TOKENS - 1, None, "truncated"),
        (MAX_TOKENS - 2, "red ", "truncated"),
    ],
)
def test_truncated_texts_are_told(
    folder: Path, words: int, prompt: str | None, outcome: str
) -> None:
    encoder = sentence_encoder(folder, prompt=prompt)
    for _ in range(2):  # a limit that was looked beyond stays as it is
        loaded = encoder.load("text", ["tea " * words, "tea"])  # a token each, start and end
        assert loaded.outcomes == [outcome, "ok"]
    cut = encode(encoder, ["tea " * words])
    kept = min(words, MAX_TOKENS - 2 - (prompt is not None))
    torch.testing.assert_close(cut, encode(encoder, ["tea " * kept]))


def test_the_description_names_all_that_features_depend_on(
    folder: Path, copied: Path, tmp_path: Path
) -> None:
    described = sentence_encoder(folder).description("text")
    packages = described.pop("packages")
    assert set(packages) == {"sentence-transformers", "transformers", "tokenizers", "torch"}
    assert described["preprocessing"]["max_tokens"] == MAX_TOKENS
    assert [module["type"] for module in described["modules"]] == ["Transformer", "Pooling"]
    assert described["modules"][1]["pooling_mode"] == "mean"
    json.dumps(described)

    def changed(**changes: Any) -> set[str]:
        other = sentence_encoder(copied, **changes).description("text")
        return {name for name in described if described[name] != other[name]} - {"model"}

    weights = load_file(copied / "model.safetensors")
    (copied / "model.safetensors").unlink()
    torch.save(weights, copied / "pytorch_model.bin")
    assert changed() == set()
    assert changed(prompt="x") == {"preprocessing"}
    assert changed(normalize=True) == {"normalized"}
    write(copied / "sentence_bert_config.json", {"max_seq_length": 5})
    assert changed() == {"preprocessing"}
    other = write_tiny_sentence(tmp_path / "other", pooling="cls", seed=1)
    shutil.copytree(other, copied, dirs_exist_ok=True)
    assert changed() == {"weights_sha256", "modules"}


def test_using_an_encoder_does_not_change_its_description(folder: Path) -> None:
    encoder = sentence_encoder(folder)
    before = encoder.description("text")
    encode(encoder, ["tea " * 20, "tea"])
    assert encoder.description("text") == before
    assert sentence_encoder(folder).description("text") == before
