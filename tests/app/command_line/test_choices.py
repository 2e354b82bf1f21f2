"""What a command's `--help` lists, and what is said of a choice that there is not."""

from __future__ import annotations

import pytest
from conftest import ROOT
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType

from missrec.app.command_line.choices import check_choices, choices
from missrec.app.command_line.values import check_values

OF_TRAINING = {
    "model",
    "model/adapter",
    "model/coding",
    "experiment",
    "ablation",
    "trainer",
    "sweep",
}
OF_SEARCH = {"search", "search/sampler", "search/pruner"}
OF_EXTRACTION = {"encoder", "images", "text_view"}


@pytest.mark.parametrize(
    ("command", "has", "lacks"),
    [
        ("train", OF_TRAINING, {*OF_SEARCH, *OF_EXTRACTION, "dashboard"}),
        ("tune", {*OF_TRAINING, *OF_SEARCH}, {*OF_EXTRACTION, "dashboard"}),
        ("extract", OF_EXTRACTION, {*OF_TRAINING, *OF_SEARCH, "dashboard"}),
        ("prepare", {"data", "paths"}, {*OF_TRAINING, *OF_SEARCH, *OF_EXTRACTION, "dashboard"}),
        ("dashboard", {"dashboard"}, {*OF_TRAINING, *OF_SEARCH, *OF_EXTRACTION, "data"}),
    ],
)
def test_a_command_lists_the_groups_that_it_has(
    command: str, has: set[str], lacks: set[str]
) -> None:
    listed = set(choices(command))
    assert has <= listed
    assert not lacks & listed


def test_every_file_is_a_choice_of_some_command_or_a_piece() -> None:
    commands = ("train", "tune", "extract", "prepare", "dashboard", "evaluate", "report")
    listed = {
        f"{group}/{option}"
        for command in commands
        for group, options in choices(command).items()
        for option in options
    }
    files = {str(path.relative_to(ROOT / "conf"))[:-5] for path in ROOT.glob("conf/*/**/*.yaml")}
    pieces = {name for name in files if "/_" in name}
    assert {"data/_demo_world", "data/_amazon", "model/network/_blocks"} <= pieces
    assert not pieces & listed
    assert files - pieces - listed == {"hydra/launcher/gpus", "hydra/launcher/slurm"}


def test_pieces_are_in_no_glob() -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        assert loader.get_group_options("model/network", ObjectType.CONFIG) == [
            "context_encoder",
            "encoder_decoder",
            "interest_encoder",
            "released",
        ]


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("train", "model/network=_blocks", "a piece of other choices, .* takes context_encoder, "),
        ("train", "data=_demo_world", "data=_demo_world is a piece"),
        ("extract", "data=_amazon", "data=_amazon is a piece"),
        ("train", "-m data=demo,_demo_world", "data=_demo_world is a piece"),
        ("train", "data=demo_world", "data=demo_world is no choice; data takes amazon, "),
        ("train", "model/items@model.features=id", "model/items=id is no choice; .* codes, feat"),
        ("train", "+model/permutation@model.items.permutation=x", "permutation takes fixed, lea"),
        ("train", "experiment=table2/sasrec", "experiment takes .*, table2/sasrec_id, "),
        ("tune", "search=lr", "search=lr is no choice; search takes interests, "),
        ("prepare", "data=amazon2018/arts", "is data=amazon data.year=2018 data.category=arts to"),
        ("train", "data=amazon2023/sources", "is data=amazon_sources data.year=2023 today"),
        ("train", "data=amazon2018/category data.category=X", "data.category=\\?\\?\\? today"),
    ],
)
def test_a_choice_that_there_is_not_is_refused_with_those_that_there_are(
    command: str, words: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        check_choices(command, words.split())


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", "-m model=sasrec,missrec ablation=glob(*) experiment=table2/sasrec_id seed=1,2"),
        ("train", "model/pretraining@model=null ~callbacks.progress_bar +model.depth=3 'a=b"),
        ("train", "--config-name=saved_config model=of_another_version"),
        ("train", "hydra/launcher=gpus"),
        ("train", "--config-dir mine model=mine"),
        ("prepare", "model=nothing_of_mine"),  # Hydra says so
    ],
)
def test_all_else_is_left_to_hydra(command: str, words: str) -> None:
    check_choices(command, words.split())


@pytest.mark.parametrize(
    ("command", "argument"),
    [
        ("evaluate", "trust=no"),
        ("train", "metrics.filter_seen=maybe"),
        ("train", "overwrite=yes"),
        ("train", "metrics.filter_seen=true,off"),
        ("extract", "images.fetcher.allow_private_addresses=no"),
        ("prepare", "data.sources.own.interaction_filter.keep_repeats=no"),
        ("train", "--config-name=saved trust=on"),
    ],
)
def test_a_word_is_no_truth_value(command: str, argument: str) -> None:
    with pytest.raises(ValueError, match=r"\((no|maybe|yes|off|on)\) must be true or false"):
        check_values(argument.split(), choices(command))


def test_what_is_true_or_false_or_no_truth_value_at_all_passes() -> None:
    passes = ["trust=True", "overwrite=false", "debug=${trust}", "metrics.filter_seen=true,false"]
    passes += ["names.experiment=no", "data.interactions.event=on"]
    check_values(passes, choices("train"))
