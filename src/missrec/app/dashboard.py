"""`python src/dashboard.py`: the project's views in W&B."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb
import wandb_workspaces.workspaces as ws
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from wandb_workspaces.expr import Config, Metric

from missrec.files import write_json

_CONFIG = "config."

_log = logging.getLogger(__name__)


def save_dashboard(cfg: DictConfig) -> dict[str, str]:
    """Saves each view of `cfg.views`; one that an earlier call saved is brought up to date.

    Returns:
        Name of a view -> its address.

    Raises:
        ValueError: W&B has no login, or refuses.
    """
    views: Any = OmegaConf.to_container(cfg.views, resolve=True)
    try:
        return _save(views, Path(cfg.record), entity=cfg.entity, project=cfg.project)
    except wandb.Error as error:
        raise ValueError(f"W&B: {error}") from error


def _save(
    views: Mapping[str, Mapping[str, Any]], record: Path, *, entity: str | None, project: str
) -> dict[str, str]:
    known = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    saved = {}
    if not wandb.login(prompt=False):
        raise ValueError("W&B knows no API key: run `wandb login`, or set WANDB_API_KEY")
    entity = entity or wandb.Api().default_entity
    if not entity:
        raise ValueError("W&B names no user or team of this login: set entity=<team>")
    for key, view in views.items():
        place = f"{entity}/{project}/{key}"
        workspace = make_view(view, entity=entity, project=project)
        if place in known:
            workspace = _in_place_of(known[place], workspace)
        workspace.save()  # type: ignore[no-untyped-call]
        known[place] = saved[view["name"]] = workspace.url
        record.parent.mkdir(parents=True, exist_ok=True)
        write_json(record, known)
    return saved


def make_view(view: Mapping[str, Any], *, entity: str, project: str) -> ws.Workspace:
    """A view that is not saved yet.

    Args:
        view: `name`, `runs` (a filter), `group_by` (run attributes, or keys led by `config.`),
            `columns` of the list of runs (of a nested key the first part is followed by `value`, as
            W&B keeps it), and `sections`, title -> panels.
        entity: W&B user or team.
        project: of the runs.
    """
    return ws.Workspace(
        name=view["name"],
        entity=entity,
        project=project,
        sections=[
            ws.Section(
                name=str(title),
                panels=[instantiate(panel, _convert_="all") for panel in panels],
                is_open=True,
            )
            for title, panels in view["sections"].items()
        ],
        runset_settings=ws.RunsetSettings(
            filters=view["runs"],
            groupby=[
                Config(key.removeprefix(_CONFIG)) if key.startswith(_CONFIG) else Metric(key)
                for key in view["group_by"]
            ],
            pinned_columns=list(view["columns"]),
        ),
    )


def _in_place_of(address: str, workspace: ws.Workspace) -> ws.Workspace:
    """The view at an address with the content of another; the other where there is none."""
    try:
        there: ws.Workspace = ws.Workspace.from_url(address)
    except ValueError as error:
        if "not found" not in str(error):
            raise
        _log.warning("%s is no longer there; the view is made anew", address)
        return workspace
    for part in ("name", "sections", "settings", "runset_settings"):
        setattr(there, part, getattr(workspace, part))
    return there
