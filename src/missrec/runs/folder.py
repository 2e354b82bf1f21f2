"""A run folder: where each of its files lies, and its config, wherever the folder lies today."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from missrec.files import digest, sha256, write_json, write_text
from missrec.runs.format import current, is_versioned, versioned

CONFIG, METRICS, PROVENANCE = "config.yaml", "metrics.json", "provenance.json"
FINAL_FIT = "final_fit"
"""In `metrics.json`: 1 of a run that held nothing out, and so has no figures."""
_SHIP = "fit_to_ship.html"
_HERE = "${run_dir}"
"""What a saved config calls the folder it lies in, so that a copy means itself."""
_SIGN = "# sha256 "
_UNSIGN = "if you changed it, delete its first line"
_METRICS_SUM = "metrics_sha256"
_OWN_SUM = "sha256"
_FORGET = "delete it, and the run no longer knows where it came from"
_OWN = (
    *(CONFIG, METRICS, PROVENANCE, "validation.json", "error.txt"),
    "items.parquet",
    *("test_ranks_*.parquet", "test_lists_*.parquet"),
    *("checkpoints", "evaluation", "interests", _SHIP),
    *("csv", "tensorboard", "wandb", "wandb_id.txt", "mlflow_id.txt", "version_*"),  # of loggers
)
"""What a run, and its evaluation, write into its folder."""


class RunFolder:
    """The files of one run; each name is spelled here alone.

    A folder holds a run once its config has been written, and the run has finished once its
    metrics are.
    """

    def __init__(self, path: Path) -> None:
        """Takes the folder, which need not exist."""
        self.path = path.absolute()

    @property
    def config(self) -> Path:
        """The resolved settings."""
        return self.path / CONFIG

    @property
    def provenance(self) -> Path:
        """Where everything else came from."""
        return self.path / PROVENANCE

    @property
    def items(self) -> Path:
        """The keys of the items that the run was made on."""
        return self.path / "items.parquet"

    @property
    def metrics(self) -> Path:
        """The metrics on validation and test; written last."""
        return self.path / METRICS

    @property
    def validation(self) -> Path:
        """The metrics on validation of a trial, which has no test; written last."""
        return self.path / "validation.json"

    @property
    def error(self) -> Path:
        """The traceback of a job that failed."""
        return self.path / "error.txt"

    @property
    def evaluation(self) -> Path:
        """What `evaluate.py` wrote."""
        return self.path / "evaluation"

    @property
    def interests(self) -> Path:
        """The interests that were found."""
        return self.path / "interests"

    @property
    def ship(self) -> Path:
        """The page that `report.py run=` wrote."""
        return self.path / _SHIP

    @property
    def checkpoints(self) -> Path:
        """The checkpoints."""
        return self.path / "checkpoints"

    @property
    def holds_run(self) -> bool:
        """Whether a run has begun here."""
        return self.config.exists() or self.metrics.exists() or self.checkpoints.exists()

    def clear(self) -> None:
        """Removes the run, but not what Hydra wrote of the command that replaces it.

        Killed meanwhile, the folder still holds a run, which can be cleared again.

        Raises:
            ValueError: something in the folder is of no run; nothing is removed.
        """
        entries = [path for path in self.path.iterdir() if not _is_of_hydra(path)]
        for path in entries:
            if not any(path.match(name) for name in _OWN):
                raise ValueError(
                    f"{path} is no part of a run, and its folder would be replaced; move it away, "
                    "or name another folder"
                )
        for path in sorted(entries, key=lambda path: path == self.checkpoints):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def read_config(self) -> dict[str, Any]:
        """The saved config as today's code would have saved it, its places those of this folder.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it cannot be read, or is of a later format.
        """
        content = self.config.read_bytes()
        try:
            loaded = OmegaConf.load(StringIO(_checked(content)))
            saved = OmegaConf.to_container(loaded, resolve=False)
        except Exception as error:  # a damaged file makes its reader raise anything
            reason = " ".join(str(error).split())
            raise ValueError(f"{self.config} cannot be read: {reason}") from error
        if not isinstance(saved, dict):
            raise ValueError(f"{self.config} is no mapping of settings")
        if not isinstance(saved.get("names"), dict) or "model" not in saved["names"]:
            raise ValueError(f"{self.config} has no names.model: it is of another version")
        config = current({str(key): value for key, value in saved.items()})
        before = config.get("run_dir")
        names = [_HERE, before] if isinstance(before, str) and before != "." else [_HERE]
        found: dict[str, Any] = moved(config, names, str(self.path))
        return {**found, "run_dir": str(self.path)}

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Saves the resolved config; what lies in this folder is named relative to it.

        The provenance of a run of before gets its checksum first, which is asked for from now on.
        """
        if self.provenance.exists() and not self._is_versioned:
            with suppress(ValueError):  # a damaged one stays refused
                self.write_provenance(self.read_provenance())
        here = {**config, "run_dir": "."}
        plain = versioned(moved(here, [str(self.path)], _HERE))
        write_text(self.config, _signed(OmegaConf.to_yaml(OmegaConf.create(plain))))

    def write_metrics(self, metrics: Mapping[str, float]) -> None:
        """Writes `metrics.json`, and notes its checksum for `read_metrics`.

        Killed in between, the metrics are there and nothing says that they are others.
        """
        provenance = self.read_provenance()
        if provenance.pop(_METRICS_SUM, None) is not None:
            self.write_provenance(provenance)
        write_json(self.metrics, dict(metrics))
        self.write_provenance({**provenance, _METRICS_SUM: sha256(self.metrics)})

    def read_metrics(self) -> dict[str, float]:
        """What `metrics.json` holds, compared with its checksum; runs of before have none.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it cannot be read, or is not as the run wrote it.
        """
        remedy = "delete it and resume the run"
        try:
            content = json.loads(self.metrics.read_text(encoding="utf-8"))
            metrics = {str(key): float(value) for key, value in content.items()}
        except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise ValueError(f"{self.metrics} cannot be read ({error}); {remedy}") from error
        try:
            own = self.read_provenance().get(_METRICS_SUM)
        except ValueError:
            return metrics  # as of a run of before
        if own is not None and own != sha256(self.metrics):
            raise ValueError(f"{self.metrics} was changed since the run wrote it; {remedy}")
        return metrics

    def read_provenance(self) -> dict[str, Any]:
        """What `provenance.json` holds; nothing where there is none.

        Raises:
            ValueError: it cannot be read.
        """
        try:
            content = json.loads(self.provenance.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self.provenance} cannot be read ({error}); {_FORGET}") from error
        if not isinstance(content, dict):
            raise ValueError(f"{self.provenance} is no mapping; {_FORGET}")
        own = content.pop(_OWN_SUM, None)
        is_expected = own is not None or "data" in content or self._is_versioned
        if is_expected and own != digest(content):
            raise ValueError(f"{self.provenance} was changed since the run wrote it; {_FORGET}")
        return content

    @property
    def _is_versioned(self) -> bool:
        """Whether the config is of a format that has a version: then all has checksums."""
        try:
            return is_versioned(self.config.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False

    def write_provenance(self, content: Mapping[str, Any]) -> None:
        """Writes `provenance.json`, with a checksum of all else in it."""
        write_json(self.provenance, {**content, _OWN_SUM: digest(dict(content))})


def data_places(config: Mapping[str, Any]) -> list[Path]:
    """The domain folders of a saved config: those in its `paths.data_dir` relative to that."""
    data_dir = (config.get("paths") or {}).get("data_dir")
    folders = [Path(folder) for folder in config["data"]["folders"]]
    if data_dir is None:
        return folders
    return [f.relative_to(data_dir) if f.is_relative_to(data_dir) else f for f in folders]


def placed_today(place: Path, data_dir: Path) -> Path:
    """Where one of `data_places` is today: in `data_dir`, or elsewhere where it was, if it is."""
    return data_dir / (place if not place.is_absolute() or place.exists() else place.name)


def _is_of_hydra(path: Path) -> bool:
    """Whether it is Hydra's, or the lock of who writes."""
    return path.name.startswith(".") or path.suffix == ".log"


def _signed(text: str) -> str:
    """A config with the checksum of all else as its first line, a comment."""
    return f"{_SIGN}{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def _checked(content: bytes) -> str:
    """A config without its checksum, if that is right; configs of before have none.

    Raises:
        ValueError: it is another one, or the line that held it is damaged.
    """
    first, _, rest = content.partition(b"\n")
    if not first.startswith(_SIGN.encode()):
        text = content.decode()
        if is_versioned(rest.decode()):  # its own first line, once the checksum is deleted
            raise ValueError(f"{first.decode()!r} should be its checksum; {_UNSIGN}")
        return text
    if first.decode() != f"{_SIGN}{hashlib.sha256(rest).hexdigest()}":
        raise ValueError(f"it was changed since it was written; {_UNSIGN}")
    return rest.decode()


def moved(value: Any, names: Sequence[str], to: str) -> Any:
    """A config with another name for a folder, in each string that is the folder or lies in it.

    A file beside the folder, as a stage before the run, keeps its place relative to it.
    """
    if isinstance(value, Mapping):
        return {key: moved(part, names, to) for key, part in value.items()}
    if isinstance(value, list):
        return [moved(part, names, to) for part in value]
    if isinstance(value, str):
        for name in names:
            if value == name or value.startswith(f"{name}/"):
                return f"{to}{value[len(name) :]}"
    return value
