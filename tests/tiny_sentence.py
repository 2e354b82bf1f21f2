"""A small BERT with random weights as a model of sentence-transformers, in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel, BertTokenizer

from missrec.features.encoders.sentence import SentenceEncoder

WIDTH, MAX_TOKENS = 16, 8
TEXTS = ["green tea", "red paint brush tea", "tea"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "tea", "green", "black", "red", "brush", "paint"]
CONFIG: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "vocab_size": len(WORDS),
}


def write_tiny_sentence(
    folder: Path, *, pooling: str = "mean", normalizes: bool = False, seed: int = 0
) -> Path:
    """Writes a model as today's and older versions of sentence-transformers lay it out.

    Args:
        folder: not there yet.
        pooling: `mean`, `cls` or `max`.
        normalizes: whether the model divides its features by their length.
        seed: the same seed gives the same weights.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        BertModel(BertConfig(**CONFIG)).save_pretrained(folder)
    BertTokenizer(vocab={word: row for row, word in enumerate(WORDS)}).save_pretrained(folder)
    parts = ["Transformer", "Pooling", *["Normalize"] * normalizes]
    places = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": row, "name": str(row), "path": path, "type": f"sentence_transformers.models.{part}"}
        for row, (part, path) in enumerate(zip(parts, places, strict=False))
    ]
    write(folder / "modules.json", modules)
    write(folder / "sentence_bert_config.json", {"max_seq_length": MAX_TOKENS})
    modes = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens"}
    flags = {f"pooling_mode_{name}": mode == pooling for mode, name in modes.items()}
    write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": WIDTH, **flags})
    return folder


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def sentence_encoder(model: str | Path, **changes: Any) -> SentenceEncoder:
    settings: dict[str, Any] = {"prompt": None, "normalize": False, "cache_dir": "unused"}
    return SentenceEncoder(model=str(model), **settings | changes)


def encode(encoder: SentenceEncoder, texts: list[str]) -> torch.Tensor:
    return encoder.encode("text", encoder.load("text", texts).values)
