"""What a run could not end well with is known before it reads any data."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT

from missrec.app.preflight import check_batches, check_training
from missrec.app.session import compose_train, composed, plain
from missrec.app.settings import RunSettings, read_run
from missrec.app.stages import stage_settings, train_stages

NO_RUN = ("names.experiment=x", "names.model=m", "run_dir=.")
MONITORS = ("callbacks.early_stopping.monitor", "callbacks.checkpoint.monitor")


@cache
def config_of(*overrides: str) -> dict[str, Any]:
    return plain(compose_train(ROOT, [*NO_RUN, *overrides]))


def run(settings: dict[str, Any], *overrides: str) -> RunSettings:
    """The settings of a run with some changed, by their dotted keys."""
    config = copy.deepcopy(config_of(*overrides))
    for key, value in settings.items():
        *above, last = key.split(".")
        part = config
        for name in above:
            part = part[name]
        part[last] = value
    return read_run(config)


def experiment_of(data: object, model: object = None) -> Any:
    """What is known once the data has been read."""
    return SimpleNamespace(datamodule=data, module=SimpleNamespace(learns=True, model=model))


def both(monitor: str) -> dict[str, Any]:
    return dict.fromkeys(MONITORS, monitor)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"trainer.max_epochs": -1},
        {"trainer.max_epochs": None},
        {"trainer.fast_dev_run": False, "trainer.overfit_batches": 0},
        {"trainer.num_sanity_val_steps": 2},
        {"trainer.limit_train_batches": 1, "trainer.limit_val_batches": 1},
        {"trainer.limit_test_batches": 0.5},
        {"trainer.check_val_every_n_epoch": 5, "trainer.max_epochs": 5},
        {"trainer.check_val_every_n_epoch": 5, "trainer.max_epochs": -1},
        {"trainer.check_val_every_n_epoch": None, "trainer.val_check_interval": 7},
        {"trainer.val_check_interval": 0.5},
        {"metrics.cutoffs": [5], **both("val/ndcg@5")},
        {"metrics.cutoffs": [10]},  # what is shown of others has a dash
        {"metrics.shown": []},
        both("val/mrr@50"),
        both("val/tie_rate"),
        {"callbacks.early_stopping.monitor": "train/loss", "callbacks.early_stopping.mode": "max"},
        {"callbacks.early_stopping.monitor": "train/loss_contrastive"},
        {"callbacks.early_stopping": None},
        {"callbacks.checkpoint.monitor": None},
        {"callbacks.own": {"_target_": "shop.Callback"}, **both("shop/revenue")},
        {"metrics.min_users": 0, "metrics.max_target_share": 1.0},
        {"metrics.filter_seen": True, "metrics.users_per_tile": 1, "metrics.items_per_tile": 1},
        {"datamodule.batch_size": 1, "datamodule.max_seq_len": 1, "datamodule.pool_batches": 1},
        {"datamodule.mixing_exponent": 0},
        {"datamodule.mixing_exponent": 0.5, "datamodule.num_workers": 0},
        {"callbacks.checkpoint.every_n_epochs": None},
        {"optimizer.lr": 1, "optimizer.weight_decay": 0.1},
    ],
)
def test_what_can_work_is_let_through(settings: dict[str, Any]) -> None:
    check_training(run(settings))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"trainer.fast_dev_run": True}, r"fast_dev_run \(True\).*: debug=fast"),
        ({"trainer.fast_dev_run": 3}, r"fast_dev_run \(3\) keeps no checkpoint"),
        ({"trainer.overfit_batches": 1}, r"overfit_batches \(1\) would validate on what it"),
        ({"trainer.overfit_batches": 0.1}, r"overfit_batches \(0.1\) would validate on what"),
        *(
            ({"trainer.max_epochs": value}, rf"max_epochs \({value}\) must be a whole number, at")
            for value in (0, -2, 1.5, "abc", True)
        ),
        ({"trainer.max_steps": 0}, r"max_steps \(0\) must be"),
        *(
            ({f"trainer.limit_{part}_batches": value}, rf"limit_{part}_batches \({value}\) must be")
            for part in ("train", "val", "test")
            for value in (0, 0.0, -1, 1.5, "abc", True, False)
        ),
        *(
            ({"trainer.check_val_every_n_epoch": value}, rf"every_n_epoch \({value}\) must be")
            for value in (0, -1, "abc", 0.5)
        ),
        (
            {"trainer.check_val_every_n_epoch": 6, "trainer.max_epochs": 5},
            r"check_val_every_n_epoch \(6\) is more than trainer.max_epochs \(5\)",
        ),
        *(
            ({"trainer.val_check_interval": value}, rf"val_check_interval \({value}\) must be")
            for value in (0, 0.0, -1, 1.5, True)
        ),
        *(
            ({"metrics.cutoffs": value}, r"metrics.cutoffs \(.*\) must be a list of whole numbers")
            for value in ([], [0], [-1], [5, 0], ["10"], [10.0], [True], [None])
        ),
        ({"metrics.cutoffs": [10, 10]}, r"metrics.cutoffs \(\[10, 10\]\) names a number twice"),
        ({"metrics.cutoffs": 10}, r"metrics.cutoffs \(10\) must be a list"),
        ({"metrics.cutoffs": [5]}, r"monitor: val/ndcg@10 is not measured; .* val/ndcg@5\?"),
        *(
            ({monitor: value}, rf"{monitor}: {value} is not measured; did you mean {meant}\?")
            for monitor in MONITORS
            for value, meant in (
                ("val/ngdc@10", "val/ndcg@10"),
                ("val/ndcg@11", "val/ndcg@10"),
                ("val/NDCG@10", "val/ndcg@10"),
                ("ndcg@20", "val/ndcg@20"),
                ("test/ndcg@10", "val/ndcg@10"),
                ("val/demo_office/ndcg@10", "val/ndcg@10"),  # of one domain there is only one
            )
        ),
        (both("val_loss"), r"monitor: val_loss is not measured"),
        (both("train/los"), r"monitor: train/los is not measured"),
        ({"callbacks.early_stopping.monitor": None}, r"early_stopping.monitor: None is not"),
        (
            {"callbacks.own": {"_target_": "shop.Callback"}, **both("val/ngdc@10")},
            r"val/ngdc@10 is not measured",
        ),
        ({"metrics.shown": ["ngdc@10"]}, r"metrics.shown: ngdc@10 .* did you mean ndcg@10\?"),
        ({"metrics.shown": ["ndcg@ten"]}, r"metrics.shown: ndcg@ten is not measured"),
        ({"metrics.shown": "ndcg@10"}, r"metrics.shown \(ndcg@10\) must be a list"),
        *(
            ({"callbacks.early_stopping.patience": value}, rf"patience \({value}\) must be a whole")
            for value in (-1, "abc", 1.5, True)
        ),
        ({"callbacks.early_stopping.mode": "maximum"}, r"early_stopping.mode \(maximum\) must be"),
        ({"callbacks.checkpoint.save_top_k": 0}, r"checkpoint.save_top_k \(0\) keeps no"),
        (
            {"callbacks.checkpoint.every_n_epochs": 9, "trainer.max_epochs": 5},
            r"checkpoint.every_n_epochs \(9\) is more than trainer.max_epochs \(5\)",
        ),
        *(
            ({key: value}, rf"^{key} \({value}\) must be a whole number,? at least 1$")
            for key in (
                "metrics.users_per_tile",
                "metrics.items_per_tile",
                "datamodule.batch_size",
                "datamodule.eval_batch_size",
                "datamodule.max_seq_len",
                "datamodule.pool_batches",
                "callbacks.interests.every_n_epochs",
                "callbacks.checkpoint.every_n_epochs",
            )
            for value in (0, -1, 1.5, "abc", True)
        ),
        ({"datamodule.batch_size": None}, r"^datamodule.batch_size \(None\) must be a whole"),
        ({"datamodule.num_workers": -1}, r"^datamodule.num_workers \(-1\) must be .* least 0$"),
        *(
            ({key: value}, rf"^{key} \({value}\) must be true or false$")
            for key in ("metrics.filter_seen", "datamodule.trim_padding")
            for value in ("abc", "no", 1, None)
        ),
        *(
            ({"datamodule.mixing_exponent": value}, rf"exponent \({value}\) must be .* 0 to 1$")
            for value in (-0.5, 1.5, "abc", float("nan"), True)
        ),
        *(
            ({key: value}, rf"^{key} \({value}\) must be a number {least} 0$")
            for key, least in (("optimizer.lr", "above"), ("optimizer.weight_decay", "at least"))
            for value in (-1e-3, "abc", None, True, float("nan"), float("inf"))
        ),
        ({"optimizer.lr": 0}, r"^optimizer.lr \(0\) must be a number above 0$"),
        ({"metrics.min_users": "abc"}, r"metrics.min_users \(abc\) must be a whole number"),
        ({"trainer.enable_checkpointing": False}, r"\(False\) keeps no checkpoint to test"),
        ({"trainer.barebones": True}, r"trainer.barebones \(True\) keeps no checkpoint to test"),
        ({"trainer.logger": False}, r"\(False\) is the run's own: logger=<choice> sets it"),
        ({"trainer.callbacks": []}, r"trainer.callbacks \(\[\]\) is the run's own"),
        ({"trainer.default_root_dir": "x"}, r"own: run_dir=<folder> sets it"),
        ({"callbacks.early_stopping": {"patience": 1}}, r"early_stopping names no class to build"),
        ({"metrics.max_target_share": float("nan")}, r"max_target_share \(nan\) must be a number"),
    ],
)
def test_what_cannot_end_well_is_one_line(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        check_training(run(settings))
    assert "\n" not in str(refused.value)


def test_of_several_domains_each_is_measured() -> None:
    sources = "data=demo_sources"
    check_training(run(both("val/demo_music/ndcg@10"), sources))
    with pytest.raises(ValueError, match=r"did you mean val/demo_music/ndcg@10\?"):
        check_training(run(both("val/demo_musik/ndcg@10"), sources))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("trainer.max_epochs=abc", r"the stage demo_pretrain: trainer.max_epochs \(abc\)"),
        ("+trainer.fast_dev_run=true", r"the stage demo_pretrain: trainer.fast_dev_run"),
        ("metrics.cutoffs=[5]", r"the stage demo_pretrain: callbacks..*val/ndcg@10 is not"),
    ],
)
@pytest.mark.parametrize("place", ["stage_overrides", "stages"])
def test_a_mistake_in_a_stage_is_known_before_it_trains(
    override: str, said: str, place: str, tmp_path: Path
) -> None:
    stage: dict[str, Any] = {"experiment": "demo_pretrain", "same_data": False}
    if place == "stages":
        stage["overrides"] = [override]
    settings = {"stages": [stage], "run_dir": str(tmp_path / "run")}
    if place == "stage_overrides":
        settings["stage_overrides"] = [override]
    asked = run(settings)
    with pytest.raises(ValueError, match=said):
        stage_settings(asked, asked.stages[0], source=None)


def test_a_mistake_in_a_later_stage_is_known_before_the_first_trains(tmp_path: Path) -> None:
    stage: dict[str, Any] = {"experiment": "demo_pretrain", "same_data": False}
    wrong = {**stage, "overrides": ["trainer.max_epochs=0"]}
    asked = run({"stages": [stage, wrong], "run_dir": str(tmp_path / "run")})

    def train(run: RunSettings) -> None:
        raise AssertionError("it trains")

    with pytest.raises(ValueError, match=r"the stage demo_pretrain: trainer.max_epochs \(0\)"):
        train_stages(asked, train, record="metrics.json")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "fits"),
    [
        ({"max_steps": 4}, True),
        ({"max_steps": 3}, False),
        ({"max_steps": 7, "check_val_every_n_epoch": 2}, False),
        ({"max_steps": 2, "limit_train_batches": 2}, True),
        ({"max_steps": 1, "limit_train_batches": 0.5}, False),
        ({"max_steps": 1, "val_check_interval": 1}, True),
        ({"max_steps": 2, "accumulate_grad_batches": 2}, True),
        ({"max_steps": -1}, True),
    ],
)
def test_steps_must_reach_a_validation(settings: dict[str, Any], fits: bool) -> None:
    data = SimpleNamespace(
        train_dataloader=lambda: range(4), val_dataloader=None, test_dataloader=None
    )
    config = {"trainer": {"limit_train_batches": 1.0, **settings}, "callbacks": {}}
    asked: Any = SimpleNamespace(config=config)
    ends = pytest.raises(ValueError, match=r"max_steps \(\d\) ends training before an epoch")
    with nullcontext() if fits else ends:
        check_batches(asked, experiment_of(data))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"val_check_interval": 4}, None),
        ({"val_check_interval": 5}, r"interval \(5\) is more than the 4 batches of an epoch"),
        ({"val_check_interval": 3, "limit_train_batches": 2}, r"\(3\) is more than the 2 batches"),
        ({"val_check_interval": 2, "limit_train_batches": 9}, None),
        ({"val_check_interval": 5, "limit_train_batches": 9}, r"\(5\) is more than the 4 batches"),
        ({"val_check_interval": 0.5}, None),
        ({"val_check_interval": 8, "check_val_every_n_epoch": None, "max_epochs": 2}, None),
        (
            {"val_check_interval": 9, "check_val_every_n_epoch": None, "max_epochs": 2},
            r"interval \(9\) is more than the 8 batches of trainer.max_epochs=2",
        ),
        ({"val_check_interval": 99, "check_val_every_n_epoch": None, "max_epochs": -1}, None),
    ],
)
def test_an_interval_must_come_to_a_validation(settings: dict[str, Any], said: str | None) -> None:
    data = SimpleNamespace(
        train_dataloader=lambda: range(4), val_dataloader=None, test_dataloader=None
    )
    asked: Any = SimpleNamespace(config={"trainer": settings, "callbacks": {}})
    with pytest.raises(ValueError, match=said) if said else nullcontext():
        check_batches(asked, experiment_of(data))


@pytest.mark.parametrize(
    ("terms", "monitor", "fits"),
    [
        (("ranking",), "train/loss", True),
        (("ranking",), "train/loss_ranking", True),
        (("ranking",), "train/loss_contrast", False),
        (("ranking", "contrast"), "train/loss_contrast", True),
        (("ranking", "contrast"), "train/loss_contrastive", False),
        (("ranking",), "train/loss_foo", False),
        ((), "train/loss_ranking", False),
        (None, "train/loss_own", True),  # of a model that does not say
    ],
)
def test_a_term_that_is_watched_is_one_of_the_loss(
    terms: tuple[str, ...] | None, monitor: str, fits: bool
) -> None:
    model = SimpleNamespace() if terms is None else SimpleNamespace(loss_terms=terms)
    data = SimpleNamespace(
        train_dataloader=lambda: range(4), val_dataloader=None, test_dataloader=None
    )
    asked = run({"callbacks.early_stopping.monitor": monitor})
    unknown = pytest.raises(
        ValueError, match=rf"^callbacks.early_stopping.monitor: {monitor} is not logged by this"
    )
    with nullcontext() if fits else unknown:
        check_batches(asked, experiment_of(data, model))


@pytest.mark.parametrize("part", ["train", "val", "test"])
@pytest.mark.parametrize(("limit", "fits"), [(0.2, False), (0.25, True), (1, True), (1.0, True)])
def test_a_share_of_the_batches_is_at_least_one(part: str, limit: float, fits: bool) -> None:
    data = SimpleNamespace(
        train_dataloader=lambda: range(4),
        val_dataloader=lambda: [range(9), range(4)],
        test_dataloader=lambda: [range(4)],
    )
    asked = run({f"trainer.limit_{part}_batches": limit})
    leaves = pytest.raises(ValueError, match=rf"limit_{part}_batches \(0.2\) leaves none of 4")
    with nullcontext() if fits else leaves:
        check_batches(asked, experiment_of(data))


def test_a_stage_may_split_its_data_in_another_way(tmp_path: Path) -> None:
    split = ["split=files", "split.val=v.csv", "split.test=t.csv"]
    stages = ["stages=demo_pretrain", f"run_dir={tmp_path}/run", *NO_RUN[:2]]
    own = 'stage_overrides=["split=ratio"]'
    with composed(ROOT, [*split, *stages, own]) as cfg:
        asked = read_run(plain(cfg))
        settings = stage_settings(asked, asked.stages[0], source=None)
    assert settings.config["split"]["_target_"] == "missrec.data.splits.Ratio"
    assert asked.config["split"]["val"] == str(Path("v.csv").absolute())
