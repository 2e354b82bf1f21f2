"""CLIP and its kin, by open_clip."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import httpx
import open_clip
import torch
from huggingface_hub import constants as hub
from huggingface_hub import try_to_load_from_cache
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor, nn

from missrec.features.checks import check_truths
from missrec.features.encoders.encoder import TRUNCATED, UNREADABLE, Loaded
from missrec.features.encoders.weights import weights_sha256
from missrec.features.images.conversion import CONVERSION
from missrec.features.images.decoding import decode_image
from missrec.features.inputs import OK

_MAX_RATIO = 100
"""Of an image's sides: the shorter is scaled to the model's, and memory grows with the longer."""
_PACKAGES = ("open-clip-torch", "torch", "torchvision", "pillow")
_HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


class MissingWeightsError(FileNotFoundError):
    """The weights are not here, and cannot be fetched."""


class ClipEncoder(nn.Module):
    """Text and image features of an open_clip model, by default not normalised.

    **Source**: MISSRec 3.2.1 and 4.2.4: frozen CLIP ViT-B/32.
    """

    modalities = ("text", "image")

    def __init__(
        self,
        *,
        model: str,
        pretrained: str | None,
        checkpoint: str | None,
        normalize: bool,
        max_pixels: int,
    ) -> None:
        """Loads the weights, downloading them where need be.

        Args:
            model: name of an architecture of open_clip, or `local-dir:<folder>` or
                `hf-hub:<owner>/<name>`, which bring their weights.
            pretrained: open_clip's tag of the weights; decides preprocessing and activation. None
                for weights without a tag.
            checkpoint: a local file with the weights, instead of a download.
            normalize: divide the features by their length.
            max_pixels: of an image; a larger one is not decoded.

        Raises:
            ValueError: normalize is neither True nor False, no such model or tag, an activation
                that the weights were not trained with, or weights that do not fit or hold anything
                but tensors.
            FileNotFoundError: no weights here, and no network to fetch them.
        """
        check_truths(normalize=normalize)
        super().__init__()
        self._name = model
        self._normalize = normalize
        self._max_pixels = max_pixels
        with _quiet():
            self._clip = _load_model(model, pretrained, checkpoint)
            self._tokenize = _tokenizer(model)
        self._preprocessing: dict[str, Any] = self._clip.visual.preprocess_cfg
        self._preprocess = image_transform_v2(PreprocessCfg(**self._preprocessing), is_train=False)
        # The last token of a longer context tells where a text went on.
        self._context_length: int = self._tokenize.context_length
        self._padding = self._tokenize([""], self._context_length + 1)[0, -1]
        self._blank = torch.zeros_like(self._preprocess(Image.new("RGB", (1, 1))))
        self._weights_sha256 = weights_sha256(self._clip)

    def description(self, modality: str) -> dict[str, Any]:
        """Model, weights, preprocessing and versions."""
        if modality == "text":
            preprocessing = {
                "tokenizer": type(self._tokenize).__name__,
                "context_length": self._context_length,
            }
        else:
            preprocessing = {name: _plain(value) for name, value in self._preprocessing.items()}
            preprocessing["max_pixels"] = self._max_pixels
            preprocessing["converted"] = CONVERSION
        return {
            "encoder": "clip",
            "model": self._name,
            "weights_sha256": self._weights_sha256,
            "preprocessing": preprocessing,
            "normalized": self._normalize,
            "packages": {name: version(name) for name in _PACKAGES},
        }

    def load(self, modality: str, inputs: Sequence[str]) -> Loaded:
        """Tokens (B, context length), or pixels (B, 3, size, size)."""
        return self._load_texts(inputs) if modality == "text" else self._load_images(inputs)

    def encode(self, modality: str, values: Tensor) -> Tensor:
        """(B, F) features."""
        encode = self._clip.encode_text if modality == "text" else self._clip.encode_image
        features: Tensor = encode(values, normalize=self._normalize)
        return features

    def _load_texts(self, texts: Sequence[str]) -> Loaded:
        tokens = self._tokenize(list(texts))
        longer = self._tokenize(list(texts), self._context_length + 1)
        goes_on = longer[:, -1] != self._padding
        return Loaded(tokens, [TRUNCATED if cut else OK for cut in goes_on.tolist()])

    def _load_images(self, paths: Sequence[str]) -> Loaded:
        pixels, outcomes = [], []
        for path in paths:
            try:
                pixels.append(self._load_image(path))
                outcomes.append(OK)
            except Exception:  # whatever one image leads to, the others are encoded
                pixels.append(self._blank)
                outcomes.append(UNREADABLE)
        return Loaded(torch.stack(pixels), outcomes)

    def _load_image(self, path: str) -> Tensor:
        """(3, size, size) pixels."""
        image = decode_image(Path(path).read_bytes(), max_pixels=self._max_pixels)
        if max(image.size) > _MAX_RATIO * min(image.size):
            raise ValueError(f"a side is more than {_MAX_RATIO} times the other")
        pixels: Tensor = self._preprocess(image)
        return pixels


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing is logged: open_clip tells the root logger of every step."""
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _load_model(model: str, pretrained: str | None, checkpoint: str | None) -> Any:
    """The open_clip model in float32, its weights loaded."""
    schema, _, _ = model.partition(":")
    brings_weights = schema in {"local-dir", "hf-hub"}
    if brings_weights and (pretrained or checkpoint):
        raise ValueError(
            f"model ({model}) brings its weights: pretrained and checkpoint must be None"
        )
    tag = {} if brings_weights else _tag_settings(model, pretrained)
    weights = None if brings_weights else _weights_file(model, pretrained, checkpoint, tag)
    preprocessing = {name: value for name, value in tag.items() if name != "size"}
    try:
        return open_clip.create_model(
            model,
            pretrained=weights,
            force_preprocess_cfg=preprocessing,
            require_pretrained=True,
            weights_only=True,
        ).eval()
    except UnpicklingError as error:
        raise ValueError(
            f"{weights or model} holds more than tensors and is not loaded, as it could execute "
            "code; save its state_dict alone, or as .safetensors"
        ) from error
    except Exception as error:  # whatever a file that holds no such weights leads to
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        source = f" from {weights}" if weights else ""
        raise ValueError(f"the weights of {model} cannot be loaded{source} ({reason})") from error


def _tokenizer(model: str) -> Any:
    try:
        return open_clip.get_tokenizer(model)
    except ImportError as error:
        raise ValueError(
            f"the tokenizer of {model} needs a package that is not here ({error}); install it: "
            "uv pip install transformers sentencepiece"
        ) from error


def _tag_settings(model: str, pretrained: str | None) -> dict[str, Any]:
    """What open_clip knows of the weights of a tag: where they are, preprocessing, activation."""
    config = open_clip.get_model_config(model)
    if config is None:
        raise ValueError(
            f"model ({model}) is unknown to open_clip; open_clip.list_models() has the names"
        )
    if pretrained is None:
        return {}
    tag: dict[str, Any] = open_clip.get_pretrained_cfg(model, pretrained)
    if not tag:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
        raise ValueError(f"pretrained ({pretrained}): the tags of {model} are {known}")
    if bool(tag.get("quick_gelu")) != bool(config.get("quick_gelu")):
        with_or_without = "with" if tag.get("quick_gelu") else "without"
        raise ValueError(
            f"model ({model}) does not match pretrained ({pretrained}), whose weights were trained "
            f"{with_or_without} QuickGELU: their features would be wrong; take the model "
            f"{with_or_without} -quickgelu in its name"
        )
    return tag


def _weights_file(
    model: str, pretrained: str | None, checkpoint: str | None, tag: dict[str, Any]
) -> str:
    if checkpoint is not None:
        if not Path(checkpoint).is_file():
            raise FileNotFoundError(f"checkpoint ({checkpoint}) is not a file")
        return checkpoint
    if pretrained is None:
        raise ValueError(
            "pretrained and checkpoint are null: name a tag of open_clip or a file with the weights"
        )
    repository, _, filename = tag.get("hf_hub", "").rpartition("/")
    files = (filename,) if filename else _HUB_FILES
    for name in files if repository else ():
        cached = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return cached
    url = f"{hub.ENDPOINT}/{repository}/resolve/main/{files[0]}" if repository else tag["url"]
    try:
        # Asked first: the download itself would try again and again for a minute.
        httpx.head(url, timeout=10, follow_redirects=True)
        return str(open_clip.download_pretrained(tag))
    except (httpx.HTTPError, OSError, RuntimeError) as error:
        raise MissingWeightsError(
            f"the weights {pretrained} of {model} are not here and cannot be fetched ({error}); "
            f"they are at {url}"
        ) from error


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
