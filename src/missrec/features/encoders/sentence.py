"""Sentence encoders, by sentence-transformers."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
from huggingface_hub import constants as hub
from torch import Tensor, nn

from missrec.features.checks import check_truths
from missrec.features.encoders.encoder import TRUNCATED, Loaded
from missrec.features.encoders.weights import weights_sha256
from missrec.features.inputs import OK
from missrec.files import replace_folder

_PACKAGES = ("sentence-transformers", "transformers", "tokenizers", "torch")
_MODULES = "modules.json"  # in the folder of any model of sentence-transformers
_NAME_ON_HUB = re.compile(r"([\w.-]+/)?[\w.-]+")

_log = logging.getLogger(__name__)


class MissingModelError(FileNotFoundError):
    """The model is not here, and cannot be fetched."""


class SentenceEncoder(nn.Module):
    """Text features of a model of sentence-transformers, pooled as its folder says.

    Code that a model brings is never executed; weights are safetensors, or tensors alone.

    **Source**: Reimers and Gurevych, Sentence-BERT, 2019.
    """

    modalities = ("text",)

    def __init__(self, *, model: str, prompt: str | None, normalize: bool, cache_dir: str) -> None:
        """Loads the model in float32, downloading it where need be.

        Args:
            model: a folder; an installed Python package that holds one, or a zip file of one; or a
                name of the Hugging Face hub, `<owner>/<name>`.
            prompt: put before each text; None for the model's own, if it has one.
            normalize: divide the features by their length; many models do so themselves.
            cache_dir: where the zip file of a package is unpacked.

        Raises:
            ValueError: normalize is neither True nor False, a package without a model, a model that
                is damaged or brings code of its own, or sentence-transformers is not installed.
            FileNotFoundError: no such model here, and no network to fetch it.
        """
        check_truths(normalize=normalize)
        super().__init__()
        self._name = model
        self._normalize = normalize
        self._model = _load(model, Path(cache_dir)).float().eval()
        own = self._model.prompts.get(self._model.default_prompt_name)
        self._prompt: str | None = own if prompt is None else prompt
        # Of a model that reads texts of any length it is none, or no whole number.
        limit = self._model.max_seq_length
        self._max_tokens = limit if isinstance(limit, int) and limit < 1_000_000 else None
        self._weights_sha256 = weights_sha256(self._model)
        self._tokenizer_sha256 = _tokenizer_sha256(self._model.tokenizer)

    def description(self, modality: str) -> dict[str, Any]:
        """Model, weights, tokenizer, longest text, modules with their pooling, and versions."""
        return {
            "encoder": "sentence",
            "model": self._name,
            "weights_sha256": self._weights_sha256,
            "preprocessing": {
                "tokenizer_sha256": self._tokenizer_sha256,
                "max_tokens": self._max_tokens,
                "prompt": self._prompt,
            },
            "modules": [
                {"type": type(module).__name__, **module.get_config_dict()}
                for module in self._model
            ],
            "normalized": self._normalize,
            "packages": {name: version(name) for name in _PACKAGES},
        }

    def load(self, modality: str, inputs: Sequence[str]) -> Loaded:
        """The texts, and of each whether the model reads all of it."""
        return Loaded(list(inputs), [TRUNCATED if cut else OK for cut in self._cuts(inputs)])

    def encode(self, modality: str, values: list[str]) -> Tensor:
        """(B, F) features."""
        features: Tensor = self._model.encode(
            values,
            prompt=self._prompt,
            normalize_embeddings=self._normalize,
            convert_to_tensor=True,
            show_progress_bar=False,
        )
        return features

    def _cuts(self, texts: Sequence[str]) -> list[bool]:
        if self._max_tokens is None:
            return [False] * len(texts)
        # Of a longer limit, the last token tells where a text went on.
        tokens = self._model.preprocess(
            list(texts),
            prompt=self._prompt,
            processing_kwargs={"text": {"max_length": self._max_tokens + 1}},
        )
        cuts: list[bool] = (tokens["attention_mask"].sum(dim=1) > self._max_tokens).tolist()
        return cuts


def _load(model: str, cache_dir: Path) -> Any:
    """The SentenceTransformer of a folder, a package or the hub."""
    _library()
    try:
        folder = Path(model) if Path(model).is_dir() else _in_package(model, cache_dir)
        return _open(str(folder)) if folder else _from_hub(model)
    except MissingModelError:
        raise
    except Exception as error:  # whatever files that hold no such model lead to
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(f"model ({model}) cannot be loaded ({reason})") from error


def _open(place: str, *, local_files_only: bool = True) -> Any:
    return _library().SentenceTransformer(
        place, device="cpu", trust_remote_code=False, local_files_only=local_files_only
    )


def _from_hub(model: str) -> Any:
    """The model of this name, fetched unless the cache has it."""
    if not _NAME_ON_HUB.fullmatch(model):
        raise MissingModelError(f"model ({model}) is no folder, and cannot be a name of the hub")
    name = model if "/" in model else f"sentence-transformers/{model}"
    try:
        return _open(name)
    except OSError:
        _log.info("fetching %s", name)
    try:
        # Asked first: the download itself would try again and again for a minute.
        httpx.head(f"{hub.ENDPOINT}/{name}", timeout=10, follow_redirects=True)
        return _open(name, local_files_only=False)
    except (httpx.HTTPError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise MissingModelError(
            f"model ({model}) is no folder here, no installed package, and cannot be fetched from "
            f"{hub.ENDPOINT}/{name} ({reason})"
        ) from error


def _in_package(name: str, cache_dir: Path) -> Path | None:
    """The folder of the model that an installed package holds; None where none is so called."""
    try:
        package = distribution(name)
    except (PackageNotFoundError, ValueError):
        return None
    files = [Path(str(package.locate_file(file))) for file in package.files or []]
    for file in files:
        if file.name == _MODULES:
            return file.parent
    for file in files:
        if file.suffix == ".zip":
            unpacked = cache_dir / f"{name}-{package.version}"
            if not unpacked.is_dir():
                with replace_folder(unpacked) as draft, ZipFile(file) as archive:
                    archive.extractall(draft)
            return unpacked
    raise ValueError(f"the installed package of this name holds no {_MODULES}")


def _library() -> Any:
    """sentence-transformers; of an extra, and slow, so that other encoders do without."""
    # Loader workers are forked: the tokenizer would warn that its threads are not.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import sentence_transformers
        from transformers.utils import logging as of_transformers
    except ImportError as error:
        raise ValueError(
            f"sentence encoders need a package that is not here ({error}); install it: "
            "uv pip install 'sentence-transformers>=6'"
        ) from error
    of_transformers.disable_progress_bar()
    return sentence_transformers


def _tokenizer_sha256(tokenizer: Any) -> str:
    """Digest of a tokenizer: all of its rules where it can tell them, else its vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    rules = backend.to_str() if hasattr(backend, "to_str") else _vocabulary(backend)
    return hashlib.sha256(rules.encode()).hexdigest()


def _vocabulary(tokenizer: Any) -> str:
    return json.dumps(sorted(tokenizer.get_vocab().items()))
