from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from image_server import huge_png, image_bytes
from missrec.app.command_line.door import one_line
from missrec.features.encoders import clip
from missrec.features.encoders.clip import ClipEncoder, MissingWeightsError
from missrec.features.images.folder import ImagesFromFolder
from tiny_clip import CONFIG, CONTEXT, WEIGHTS, WIDTH, write_tiny_clip
from toy_encoder import extractor, write_items

NAME = "ViT-B-32-quickgelu"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture(scope="module")
def encoder(folder: Path) -> ClipEncoder:
    return clip_encoder(model=f"local-dir:{folder}")


@pytest.fixture
def named_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default model's name stands for the tiny architecture."""
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, NAME, copy.deepcopy(CONFIG))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(url: str, **options: Any) -> None:
        raise httpx.ConnectError("Name or service not known")

    monkeypatch.setattr(httpx, "head", unreachable)
    monkeypatch.setattr(clip, "try_to_load_from_cache", lambda *arguments: None)


def clip_encoder(**changes: Any) -> ClipEncoder:
    settings: dict[str, Any] = {
        "pretrained": None,
        "checkpoint": None,
        "normalize": False,
        "max_pixels": 10_000,
    }
    return ClipEncoder(**settings | changes).eval()


@pytest.mark.parametrize("text", ["no", "yes"])
def test_a_word_is_no_truth_value(text: str) -> None:
    with pytest.raises(ValueError, match=rf"normalize \({text}\) must be true or false"):
        clip_encoder(model="ViT-B-32", normalize=text)


@torch.no_grad()
def encode(encoder: ClipEncoder, modality: str, inputs: list[str]) -> torch.Tensor:
    return encoder.encode(modality, encoder.load(modality, inputs).values)


@torch.no_grad()
def test_features_are_open_clips_own(encoder: ClipEncoder, folder: Path, tmp_path: Path) -> None:
    name = f"local-dir:{folder}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    model.eval()
    path = tmp_path / "image.png"
    path.write_bytes(image_bytes(size=(50, 40)))
    texts = ["a red brush", "Tea"]
    expected_text = model.encode_text(open_clip.get_tokenizer(name)(texts))
    expected_image = model.encode_image(preprocess(Image.open(path))[None])
    torch.testing.assert_close(encode(encoder, "text", texts), expected_text)
    torch.testing.assert_close(encode(encoder, "image", [str(path)]), expected_image)
    assert expected_image.shape == (1, WIDTH)
    assert (expected_text.norm(dim=-1) - 1).abs().min() > 0.01  # not normalised


def test_normalized_features_have_length_one(encoder: ClipEncoder, folder: Path) -> None:
    unit = clip_encoder(model=f"local-dir:{folder}", normalize=True)
    raw = encode(encoder, "text", ["tea"])
    torch.testing.assert_close(encode(unit, "text", ["tea"]), raw / raw.norm())


@pytest.mark.parametrize(
    ("words", "outcome"), [(1, "ok"), (CONTEXT - 2, "ok"), (CONTEXT - 1, "truncated")]
)
def test_truncated_texts_are_told(encoder: ClipEncoder, words: int, outcome: str) -> None:
    loaded = encoder.load("text", ["tea " * words, "tea"])  # a token each, and start and end
    assert loaded.outcomes == [outcome, "ok"]


@pytest.mark.parametrize(
    "content",
    [
        b"<html>",
        image_bytes("JPEG", size=(64, 64))[:-100],
        huge_png(60_000, 60_000),
        image_bytes(size=(9_999, 1)),
        None,
    ],
    ids=["html", "cut", "bomb", "a line that its resize would make huge", "gone"],
)
def test_unreadable_image_is_told_and_harms_no_other(
    encoder: ClipEncoder, tmp_path: Path, content: bytes | None
) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(image_bytes())
    if content is not None:
        bad.write_bytes(content)
    loaded = encoder.load("image", [str(bad), str(good)])
    assert loaded.outcomes == ["unreadable", "ok"]
    torch.testing.assert_close(loaded.values[1:], encoder.load("image", [str(good)]).values)


def test_any_mode_of_image_is_encoded(encoder: ClipEncoder, tmp_path: Path) -> None:
    paths = []
    for mode in ("L", "LA", "P", "RGBA", "1", "I;16"):
        paths.append(str(tmp_path / f"{mode}.png"))
        Image.new(mode, (9, 5)).save(paths[-1])
    Image.new("CMYK", (9, 5)).save(tmp_path / "cmyk.jpg")
    Image.new("RGB", (9, 5)).save(tmp_path / "phone.jpg", "MPO")
    Image.new("RGBA", (9, 5)).save(tmp_path / "new.avif")
    more = [str(tmp_path / name) for name in ("cmyk.jpg", "phone.jpg", "new.avif")]
    loaded = encoder.load("image", [*paths, *more])
    assert loaded.outcomes == ["ok"] * 9


def test_pixels_are_made_rgb_before_they_are_scaled(encoder: ClipEncoder, tmp_path: Path) -> None:
    # Black and white line by line are grey from afar; the nearest neighbour would take one line.
    lines = np.zeros((64, 64), dtype=np.uint8)
    lines[::2] = 255
    grey = Image.fromarray(lines)
    transparent = Image.new("RGBA", grey.size, "black")
    transparent.putalpha(Image.fromarray(255 - lines))
    images = {"grey": grey, "1": grey.convert("1"), "P": grey.convert("P"), "RGBA": transparent}
    paths = [str(tmp_path / f"{name}.png") for name in images]
    for path, image in zip(paths, images.values(), strict=True):
        image.save(path)
    pixels = encoder.load("image", paths).values  # (4, 3, 32, 32)
    for others in pixels[1:]:
        torch.testing.assert_close(others, pixels[0])
    assert pixels.std() < 0.2


def test_a_folder_with_any_kind_of_file_is_extracted_to_its_end(
    encoder: ClipEncoder, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, kind in enumerate(("JPEG", "MPO", "AVIF")):  # whatever their names say
        (folder / f"k{number + 1}.jpg").write_bytes(image_bytes(kind, color=(90 * number, 0, 0)))
    (folder / "k4.jpg").write_bytes(b"<html>")
    (folder / "k5.jpg").write_bytes(image_bytes(size=(500, 1)))
    source = ImagesFromFolder(
        folder=str(folder), placeholder_min_share=0.05, placeholder_min_items=10
    )
    items = write_items(tmp_path / "tiny", [""] * 6)
    inputs = source.find("tiny", items)
    (folder / "k3.jpg").unlink()  # gone before it is its turn
    done = extractor(encoder).extract(tmp_path / "tiny", "image", inputs)
    assert done.outcomes == {"no_image": 1, "ok": 2, "unreadable": 3}


def test_images_of_before_they_were_converted_are_encoded_again(encoder: ClipEncoder) -> None:
    assert encoder.description("image")["preprocessing"]["converted"] == "upright sRGB on white"
    assert "converted" not in encoder.description("text")["preprocessing"]


def test_description_depends_on_the_weights_and_not_on_their_file(
    encoder: ClipEncoder, folder: Path, tmp_path: Path, named_tiny: None
) -> None:
    save_file(torch.load(folder / WEIGHTS, weights_only=True), tmp_path / "same.safetensors")
    same = clip_encoder(model=NAME, checkpoint=str(tmp_path / "same.safetensors"))
    other = clip_encoder(model=f"local-dir:{write_tiny_clip(tmp_path / 'other', seed=1)}")
    digest = encoder.description("text")["weights_sha256"]
    assert same.description("image")["weights_sha256"] == digest
    assert other.description("text")["weights_sha256"] != digest


def test_local_checkpoint_of_a_tag_is_preprocessed_as_the_tag_says(
    folder: Path, named_tiny: None
) -> None:
    encoder = clip_encoder(model=NAME, pretrained="openai", checkpoint=str(folder / WEIGHTS))
    described = encoder.description("image")
    assert described["preprocessing"]["mean"] == pytest.approx([0.4815, 0.4578, 0.4082], abs=1e-4)
    assert described["preprocessing"]["size"] == [32, 32]
    assert described["model"] == NAME
    assert set(described["packages"]) == {"open-clip-torch", "torch", "torchvision", "pillow"}


@pytest.mark.parametrize(
    ("model", "pretrained", "said"),
    [
        ("ViT-B-32", "openai", r"trained with QuickGELU.*take the model with -quickgelu"),
        (NAME, "laion2b_s34b_b79k", r"the tags of ViT-B-32-quickgelu are openai"),
        ("ViT-B-33", "openai", r"model \(ViT-B-33\) is unknown to open_clip"),
        ("local-dir:x", "openai", r"brings its weights: pretrained and checkpoint"),
        (NAME, None, r"pretrained and checkpoint are null"),
    ],
)
def test_wrong_choice_of_weights_is_refused(
    model: str, pretrained: str | None, said: str, no_network: None
) -> None:
    with pytest.raises(ValueError, match=said):
        clip_encoder(model=model, pretrained=pretrained)


def test_tokenizer_without_its_package_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(model: str) -> None:
        raise ModuleNotFoundError("No module named 'transformers'")

    monkeypatch.setattr(open_clip, "get_tokenizer", missing)
    with pytest.raises(ValueError, match=r"'transformers'.*uv pip install transformers"):
        clip_encoder(model=f"local-dir:{folder}")


def test_without_network_the_message_says_how_to_get_the_weights(no_network: None) -> None:
    with pytest.raises(MissingWeightsError) as caught:
        clip_encoder(model=NAME, pretrained="openai")
    url = "https://huggingface.co/timm/vit_base_patch32_clip_224.openai/resolve/main/open_clip_model.safetensors"
    assert f"they are at {url}" in str(caught.value)
    assert "encoder.checkpoint=<that file>; or take encoder=lsa" in one_line(caught.value)


def test_missing_checkpoint_is_refused() -> None:
    with pytest.raises(FileNotFoundError, match=r"checkpoint \(nowhere.bin\) is not a file"):
        clip_encoder(model=NAME, checkpoint="nowhere.bin")


@pytest.mark.parametrize(
    "content", [{"positional_embedding": torch.zeros(3)}, {}, [1, 2], {"visual.proj": 3}, None]
)
def test_file_without_the_weights_is_refused(
    tmp_path: Path, named_tiny: None, content: Any
) -> None:
    path = tmp_path / "other.bin"
    path.touch() if content is None else torch.save(content, path)
    with pytest.raises(
        ValueError, match=rf"weights of {NAME} cannot be loaded from .*other.bin \("
    ):
        clip_encoder(model=NAME, checkpoint=str(path))


def test_folder_without_weights_is_refused(tmp_path: Path) -> None:
    (write_tiny_clip(tmp_path / "tiny") / WEIGHTS).unlink()
    with pytest.raises(ValueError, match=r"the weights of local-dir:.* cannot be loaded \("):
        clip_encoder(model=f"local-dir:{tmp_path / 'tiny'}")


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("executed"),)


def test_checkpoint_that_would_execute_code_is_not_loaded(
    tmp_path: Path, named_tiny: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Malicious()}, "evil.bin")
    with pytest.raises(ValueError, match=r"evil.bin holds more than tensors and is not loaded"):
        clip_encoder(model=NAME, checkpoint="evil.bin")
    assert not Path("executed").exists()
