"""The model card of an exported run: Markdown, with the front matter of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from huggingface_hub import EvalResult, ModelCardData
from omegaconf import OmegaConf

from missrec.app.settings import RunSettings

_TASK = "sequential-recommendation"

_HOW = """## How to load

```python
import missrec

model = missrec.load("<this folder>")
print(model.recommend([["<item key>", "<item key>"]], k=10))
```

Nothing else is needed: `model.safetensors` has the weights, `features/` the raw features that the
model reads, `items.parquet` the key, the title and the training count of each item, `config.json`
what the model is built of. No interaction of any user is in it. `manifest.json` holds the
checksums; loading executes no code but that of the package.
"""

_ONNX = """## Without missrec

`user_encoder.onnx` takes `item_ids`, int64 (users, length): the `item_id`s of `items.parquet`,
oldest first, 0 behind the last. It gives `user`. `scorer.onnx` takes `user` and gives `scores`
(users, items) of item 1, 2, ..., in order.
"""


def model_card(
    run: RunSettings,
    items: pl.DataFrame,
    metrics: Mapping[str, float],
    *,
    license_name: str | None,
    has_onnx: bool,
) -> str:
    """The card as text.

    Args:
        run: that was exported.
        items: of `items.parquet`.
        metrics: of `metrics.json`; empty of a run that was not tested.
        license_name: as the hub knows it, such as `apache-2.0`; None for none.
        has_onnx: whether the folder has the graphs too.
    """
    tested = {
        key.removeprefix("test/"): value
        for key, value in metrics.items()
        if key.startswith("test/") and key.count("/") == 1
    }
    front = ModelCardData(
        model_name=run.name,
        license=license_name,
        library_name="missrec",
        tags=["missrec", "recommendation", _TASK],
        eval_results=[
            EvalResult(
                task_type=_TASK,
                dataset_type=run.data.name,
                dataset_name=run.data.name,
                metric_type=key,
                metric_value=value,
            )
            for key, value in tested.items()
        ],
    )
    parts = [
        f"---\n{front.to_yaml()}\n---",
        f"# {run.name}",
        f"`{run.model}`, a sequential recommender of {len(items):,} items of "
        f"{', '.join(items['domain'].unique(maintain_order=True))}.",
        "## Figures",
        _figures(run, tested, metrics),
        "## Data",
        _data(run, items),
        _HOW.rstrip(),
        *([_ONNX.rstrip()] if has_onnx else []),
        "## Settings",
        f"```yaml\n{_settings(run)}```",
    ]
    return "\n\n".join(parts) + "\n"


def _figures(run: RunSettings, tested: Mapping[str, float], metrics: Mapping[str, float]) -> str:
    if not tested:
        return "The run was not tested."
    rows = [
        f"| {key} | {_shown(metrics.get(f'val/{key}'))} | {_shown(value)} |"
        for key, value in tested.items()
    ]
    told = "items of the history are left out" if _filters(run) else "items of the history too"
    how = f"Each user's target is ranked among all items ({told}), on the epoch that validation"
    table = "\n".join(["| metric | validation | test |", "|---|---|---|", *rows])
    return f"{how} chose.\n\n{table}"


def _filters(run: RunSettings) -> bool:
    return bool(run.config["metrics"]["filter_seen"])


def _data(run: RunSettings, items: pl.DataFrame) -> str:
    split = str(run.config["split"].get("_target_", "")).rpartition(".")[2]
    reads = ", ".join(run.modalities) or "nothing but ids"
    rows = items.group_by("domain", maintain_order=True).agg(
        pl.len().alias("items"), pl.col("train_count").sum()
    )
    lines = [
        f"- {domain}: {num_items:,} items, {count:,} interactions in training"
        for domain, num_items, count in rows.iter_rows()
    ]
    return "\n".join([*lines, f"- split: {split}", f"- features: {reads}; {run.transfer}"])


def _settings(run: RunSettings) -> str:
    kept = {key: run.config[key] for key in ("seed", "transfer", "inputs", "optimizer")}
    sizes = {key: run.config["model"].get(key) for key in ("embed_dim", "max_seq_len")}
    model = {key: value for key, value in sizes.items() if value is not None}
    return OmegaConf.to_yaml(OmegaConf.create({"model": {"name": run.model, **model}, **kept}))


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
