"""What the answers of a service are made of, by checksums of what lies in folders."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from missrec.app.trained.exported import is_exported
from missrec.app.trained.saved_run import read_saved_run
from missrec.data.manifest import MANIFEST
from missrec.features.store import FEATURES
from missrec.files import digest, sha256
from missrec.runs.checkpoints import chosen_checkpoint
from missrec.runs.folder import RunFolder
from missrec.serving.served import Version

_LENGTH = 12


def version_of(run: Path, *, data_dir: Path, domain: str | None, trust: bool) -> Version:
    """The version of a run on its data as both are now.

    Args:
        run: its folder, or one that was exported.
        data_dir: where the domain folders are.
        domain: whose items, of a run on several domains.
        trust: whether the config may name code that is none of this project's.

    Raises:
        FileNotFoundError: the folder is no run folder.
        ValueError: its config cannot be read, or names code of a stranger and is not trusted.
    """
    if is_exported(run):
        own = digest(sha256(run / MANIFEST))[:_LENGTH]
        return Version(model=f"{run.name}@{own}", catalogue=f"{domain or run.name}@{own}")
    folder = RunFolder(run)
    settings = read_saved_run(folder, data_dir=data_dir, trust=trust, built=())
    weights = [sha256(folder.config)]
    with suppress(FileNotFoundError):  # of a model that learns nothing
        weights.append(sha256(chosen_checkpoint(folder.path)))
    places = [place for of in settings.data.folders for place in (of, of / FEATURES)]
    manifests = [sha256(path) for place in places if (path := place / MANIFEST).is_file()]
    name = domain or "+".join(folder.name for folder in settings.data.folders)
    return Version(
        model=f"{settings.name}@{digest(weights)[:_LENGTH]}",
        catalogue=f"{name}@{digest(manifests)[:_LENGTH]}",
    )
