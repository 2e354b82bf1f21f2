"""Checkpoint files are whole or refused, and Lightning goes on with them where the run is."""

from __future__ import annotations

import random
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils._pytree import tree_map

from faults import Killed, file_operations
from missrec.training.callbacks import MidEpochCheckpoint
from missrec.training.checkpoints import (
    DamagedCheckpointError,
    read_checkpoint,
    resumes_training,
    strip_checkpoint,
    write_checkpoint,
)
from missrec.training.saving import RunCheckpoint, WholeCheckpoints

KEPT = Path(__file__).resolve().parents[1] / "kept_runs/format_0/logs/demo"
CONTENT = {
    "state_dict": {"model.weight": torch.arange(100.0), "model.bias": torch.zeros(3)},
    "optimizer_states": [{"moments": torch.ones(2, 100)}],
    "lr_schedulers": [],
    "callbacks": {},
    "loops": {"fit_loop": {}},
    "random_states": [[torch.get_rng_state()]],
    "global_step": 7,
    "epoch": 1,
    "made_on": {"demo_office": "5f3a"},
}


def plain(content: Any) -> Any:
    """Tensors as lists, to compare a whole content."""
    return tree_map(lambda value: value.tolist() if isinstance(value, Tensor) else value, content)


def mutated(content: bytes, how: int, draw: random.Random) -> bytes:
    """Another content of a file: cut, with a flipped bit, zeros, swapped or random parts."""
    changed = bytearray(content)
    at = draw.randrange(len(content))
    length = min(draw.choice([1, 8, 64, 512]), len(content) - at)
    if how == 0:
        return content[:at]
    if how == 1:
        changed[at] ^= 1 << draw.randrange(8)
    elif how == 2:
        changed[at : at + length] = bytes(length)
    elif how == 3:
        changed[at : at + length], changed[:length] = changed[:length], changed[at : at + length]
    else:
        changed[at : at + length] = draw.randbytes(length)
    return bytes(changed)


@pytest.mark.parametrize("of_before", [False, True], ids=["ours", "lightning's"])
def test_a_damaged_checkpoint_is_refused_or_read_as_it_was(tmp_path: Path, of_before: bool) -> None:
    source, path = tmp_path / "source.ckpt", tmp_path / "mutated.ckpt"
    if of_before:
        shutil.copy(KEPT / "killed/checkpoints/epoch_000.ckpt", source)
    else:
        write_checkpoint(source, CONTENT)
    original, expected = source.read_bytes(), read_checkpoint(source)
    draw, refused = random.Random(0), 0
    for number in range(100):
        path.write_bytes(changed := mutated(original, number % 5, draw))
        try:
            found = read_checkpoint(path)
        except DamagedCheckpointError as error:
            said = str(error)
            refused += said.startswith(f"{path} is no whole checkpoint: ") and "\n" not in said
        else:
            assert of_before or changed == original  # of Lightning's, some bytes mean nothing
            assert plain(found) == plain(expected)
            refused += changed == original
    assert refused > 80 if of_before else refused == 100


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(18), b"weights", bytes(100)])
def test_another_file_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpointError):
        read_checkpoint(path)


def test_a_checkpoint_that_runs_code_or_lacks_a_key_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "code.ckpt", {"state_dict": print})
    with pytest.raises(DamagedCheckpointError, match="no whole checkpoint"):
        read_checkpoint(tmp_path / "code.ckpt")
    write_checkpoint(tmp_path / "other.ckpt", {"epoch": 1})
    with pytest.raises(DamagedCheckpointError, match="holds no state_dict"):
        read_checkpoint(tmp_path / "other.ckpt")
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "none.ckpt")


def test_a_written_checkpoint_is_an_ordinary_one_for_torch_and_for_zip(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "last.ckpt", CONTENT)
    for mmap in (False, True):
        found = torch.load(tmp_path / "last.ckpt", weights_only=True, mmap=mmap)
        assert plain(found) == plain(CONTENT)
    assert zipfile.ZipFile(tmp_path / "last.ckpt").comment.startswith(b"sha256:")


@pytest.mark.parametrize("torn", [False, True])
def test_a_checkpoint_is_the_old_or_the_new_one_wherever_its_writing_ends(
    tmp_path: Path, torn: bool
) -> None:
    path = tmp_path / "last.ckpt"
    write_checkpoint(path, {"state_dict": {}, "global_step": 1})
    with file_operations(tmp_path) as whole:
        write_checkpoint(path, CONTENT)
    assert whole.count > 10
    for number in range(whole.count):
        write_checkpoint(path, {"state_dict": {}, "global_step": 1})
        with pytest.raises(Killed), file_operations(tmp_path, kill_at=number, torn=torn):
            write_checkpoint(path, CONTENT)
        assert read_checkpoint(path)["global_step"] in {1, 7}


def test_a_full_disk_is_told_as_the_system_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("faults._Written.write", full)
    with pytest.raises(OSError, match="No space left"), file_operations(tmp_path):
        write_checkpoint(tmp_path / "last.ckpt", CONTENT)
    assert list(tmp_path.iterdir()) == []


def test_a_stripped_checkpoint_keeps_the_model_and_what_it_was_made_on(tmp_path: Path) -> None:
    path = tmp_path / "epoch_001.ckpt"
    write_checkpoint(path, CONTENT)
    assert resumes_training(read_checkpoint(path))
    before = path.stat().st_size
    strip_checkpoint(path)
    found = read_checkpoint(path)
    assert found.keys() == {"state_dict", "global_step", "epoch", "made_on"}
    torch.testing.assert_close(found["state_dict"], CONTENT["state_dict"], rtol=0, atol=0)
    assert not resumes_training(found)
    assert path.stat().st_size < before / 2
    written = path.stat().st_mtime_ns
    strip_checkpoint(path)
    assert path.stat().st_mtime_ns == written


def test_names_in_a_saved_state_are_those_of_the_folder_it_is_loaded_in(tmp_path: Path) -> None:
    def callback(folder: str) -> RunCheckpoint:
        return RunCheckpoint(tmp_path / folder, monitor="val/ndcg@10", mode="max", save_last=True)

    def place(folder: str, name: str) -> str:
        return str((tmp_path / folder / name).resolve())

    original = callback("a")
    original.best_model_path = original.kth_best_model_path = place("a", "epoch_003.ckpt")
    original.best_k_models = {place("a", "epoch_003.ckpt"): torch.tensor(0.5)}
    original.best_model_score = original.kth_value = torch.tensor(0.5)
    original.last_model_path = place("a", "last.ckpt")
    state = original.state_dict()
    assert str(tmp_path) not in str(state)

    copy = callback("b")
    copy.load_state_dict(state)
    assert copy.best_model_path == copy.kth_best_model_path == place("b", "epoch_003.ckpt")
    assert copy.best_k_models == {place("b", "epoch_003.ckpt"): torch.tensor(0.5)}
    assert copy.last_model_path == place("b", "last.ckpt")
    assert copy.best_model_score == 0.5


def test_the_state_in_a_kept_checkpoint_is_taken_up_elsewhere(tmp_path: Path) -> None:
    states = read_checkpoint(KEPT / "killed/checkpoints/latest.ckpt")["callbacks"]
    settings: dict[str, Any] = {"monitor": "val/ndcg@10", "mode": "max"}
    best = RunCheckpoint(tmp_path, **settings)
    latest = MidEpochCheckpoint(tmp_path, every_n_train_steps=2)
    assert best.state_key == ModelCheckpoint(tmp_path, **settings).state_key
    for callback in (best, latest):
        callback.load_state_dict(states[callback.state_key])
    assert best.best_model_path == str(tmp_path.resolve() / "epoch_000.ckpt")
    assert best.best_model_score is not None
    assert latest.best_model_path == str(tmp_path.resolve() / "latest.ckpt")
    best.load_state_dict({**best.state_dict(), "best_model_path": "../../other/epoch_000.ckpt"})
    assert best.best_model_path == str(tmp_path.resolve() / "epoch_000.ckpt")


def test_lightning_reads_and_removes_what_is_there(tmp_path: Path) -> None:
    files = WholeCheckpoints()
    files.save_checkpoint(CONTENT, tmp_path / "checkpoints" / "last.ckpt")
    found = files.load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    assert plain(found) == plain(CONTENT)
    for _ in range(2):
        files.remove_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    assert list((tmp_path / "checkpoints").iterdir()) == []
