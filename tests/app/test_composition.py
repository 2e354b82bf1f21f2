"""Command lines, and what they compose and how the run is named, or why they are refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from hydra import initialize_config_dir
from hydra.errors import ConfigCompositionException, HydraException
from torch import nn

from missrec.app.command_line.door import one_line
from missrec.app.model import build
from missrec.app.session import compose_train
from missrec.types import PAD_ID
from synthetic import catalogue, random_sequences, raw_features

CONF = ROOT / "conf"
MODELS = sorted(path.stem for path in (CONF / "model").glob("[!_]*.yaml"))
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("[!_]*.yaml"))
TAKES = {
    "sasrec": ("id", {"transductive"}),
    "vqrec": ("t v tv", {"inductive"}),
    "fdsa": ("t v tv", {"transductive"}),
    "unisrec": ("t v tv", {"inductive", "transductive"}),
    "missrec": ("t v tv", {"inductive", "transductive"}),
}
"""One model of each kind: names of the inputs and transfers that it can follow."""


@pytest.fixture(scope="module")
def own_conf() -> Iterator[None]:
    """Composes several hundred times; to find `conf/` takes longer than to compose."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def name_of(words: str) -> str:
    """The start of the name of the run that these words make."""
    overrides = words.split()
    model = [word.removeprefix("model=") for word in overrides if word.startswith("model=")]
    names = [f"names.model={model[-1] if model else 'm'}", "run_dir=/run", "names.experiment=e"]
    return str(compose_train(ROOT, [*overrides, *names]).names.run).removesuffix("-s1")


@pytest.mark.parametrize(
    ("setting", "model", "refused"),
    [
        ("{network: {block: {dropout_prob: 0.1}}}", "missrec_released", False),
        ("{encoder: {block: {num_heads: 4}}}", "sasrec", False),
        ("{items: {coding: {quantizer: {num_codebooks: 4}}}}", "vqrec", False),
        ("{items: {permutation: {temperature: 1.0}}}", "vqrec", False),
        ("{encoder: {block: {num_heads: 4}}}", "missrec", True),
        ("{network: {block: {dropout_prob: 0.1}}}", "sasrec", True),
    ],
)
def test_an_experiment_of_ones_own_sets_what_its_model_has(
    tmp_path: Path, setting: str, model: str, *, refused: bool
) -> None:
    shutil.copytree(CONF, tmp_path / "conf")
    own = f"# @package _global_\nmodel: {setting}\n"
    (tmp_path / "conf/experiment/mine.yaml").write_text(own)
    words = ["experiment=mine", f"model={model}", f"paths.root_dir={tmp_path}"]
    with initialize_config_dir(str(tmp_path / "conf"), version_base="1.3"):
        if refused:
            with pytest.raises(ConfigCompositionException, match=f"model={model} has no such part"):
                compose_train(tmp_path, words)
        else:
            assert compose_train(tmp_path, words).names.ablation == "full"


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    shutil.copytree(CONF, tmp_path / "conf")
    mine = tmp_path / "conf/experiment/mine.yaml"
    words = ["experiment=mine", "model=sasrec", f"paths.root_dir={tmp_path}"]
    mine.write_text("# @package _global_\nmodel: {network: {block: {dropout_prob: 0.1}}}\n")
    with pytest.raises(ConfigCompositionException, match="model=sasrec has no such part"):
        compose_train(tmp_path, words)
    mine.write_text("# @package _global_\nmodel: {encoder: {block: {dropout_prob: 0.1}}}\n")
    assert compose_train(tmp_path, words).model.encoder.block.dropout_prob == 0.1


@pytest.mark.usefixtures("own_conf")
@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("experiment=scratch", "m-demo-tv-inductive-full"),
        (
            "experiment=scratch model=sasrec data=scientific",
            "sasrec-scientific-id-transductive-full",
        ),
        ("model=sasrec_text", "sasrec_text-demo-t-inductive-full"),
        ("model=vqrec inputs=image", "vqrec-demo-v-inductive-full"),
        ("model=unisrec transfer=transductive", "unisrec-demo-t-transductive-full"),
        ("model=fdsa inputs=image", "fdsa-demo-v-transductive-full"),
        ("model=most_popular transfer=transductive", "most_popular-demo-id-transductive-full"),
        ("experiment=table2/vqrec_text", "m-demo-t-inductive-full"),
        ("experiment=table2/unisrec_text optimizer.lr=0.1", "m-demo-t-inductive-full"),
        ("experiment=demo model=vqrec transfer=inductive", "vqrec-demo-t-inductive-full"),
        ("experiment=demo model=bert4rec", "bert4rec-demo-id-transductive-full"),
        ("experiment=demo_text model=unisrec", "unisrec-demo-t-transductive-full"),
        ("experiment=pretrain model=zesrec", "zesrec-demo_sources-t-inductive-full"),
        ("experiment=finetune model=vqrec", "vqrec-demo-t-inductive-full"),
        ("experiment=pretrain ablation=no_contrast", "m-demo_sources-tv-inductive-no_contrast"),
        ("model=unisrec inputs=text_with_view", "unisrec-demo-t2-inductive-full"),
        ("model/fusion=mean", "m-demo-tv-inductive-full"),
        ("ablation=no_contrast model.contrast_weight=0", "m-demo-tv-inductive-no_contrast"),
        (
            "ablation=context_encoder model.network.block.dropout_prob=0.1",
            "m-demo-tv-inductive-context_encoder",
        ),
        ("data=own data.name=office", "m-office-tv-inductive-full"),
        ("data=amazon data.category=arts", "m-amazon2018_arts-tv-inductive-full"),
        ("data=amazon_sources data.year=2023", "m-amazon2023_sources-tv-inductive-full"),
    ],
)
def test_a_run_is_named_by_what_it_does(words: str, name: str) -> None:
    assert name_of(words) == name


@pytest.mark.usefixtures("own_conf")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("model=sasrec inputs=text", "model=sasrec takes inputs=ids, not inputs=text; say what"),
        ("model=sasrec transfer=inductive", "takes transfer=transductive, not transfer=inductive"),
        ("model=missrec inputs=ids", "model=missrec takes inputs=image or inputs=text or"),
        ("model=nearest_neighbor inputs=ids", "takes inputs=image or inputs=text or"),
        ("model=most_popular transfer=inductive", "takes transfer=transductive"),
        ("model=vqrec transfer=transductive", "takes transfer=inductive"),
        (
            "experiment=demo model=vqrec",
            "takes transfer=inductive, not transfer=transductive, which experiment=demo has",
        ),
        (
            "experiment=demo_text model=sasrec",
            "model=sasrec takes inputs=ids, not inputs=text, which experiment=demo_text has",
        ),
        (
            "experiment=table2/unisrec_text model=sasrec",
            "experiment=table2/unisrec_text is model=unisrec, and here it would have model=sasrec",
        ),
        ("experiment=table2/vqrec_text model=sasrec", "table2/vqrec_text is model=vqrec, and"),
        ("inputs=text_with_view", "model=missrec takes inputs=image or inputs=text or"),
        ("model=fdsa inputs=text_with_view", "not inputs=text_with_view"),
        (
            "model/network=context_encoder",
            "model/network=context_encoder is ablation=context_encoder: choose that",
        ),
        ("ablation=no_adapters model/network=interest_encoder", "is ablation=interest_encoder"),
        ("model=unisrec model/adapter=none", "model/adapter=none is ablation=no_adapters"),
        ("experiment=table2/sasrec_id model=bert4rec", "table2/sasrec_id is model=sasrec"),
        ("experiment=table2/unisrec_text inputs=image", "is inputs=text, and here it would have"),
        ("experiment=demo_text inputs=image", "experiment=demo_text is inputs=text"),
        ("experiment=demo_most_popular model=sasrec", "is model=most_popular"),
        ("experiment=self_supervised model=sasrec", "sets model.self_supervised, and model=sasrec"),
        ("experiment=align_codes model=sasrec", "sets model.items.permutation, and model=sasrec"),
        (
            "ablation=context_encoder model/network=interest_encoder",
            "ablation=context_encoder is model/network=context_encoder, and here it would have "
            "model/network=interest_encoder; leave out one of the two",
        ),
        (
            "ablation=context_encoder model.network.reads_interests=true",
            "is model.network.reads_interests=false, and here",
        ),
        ("ablation=no_adapters model/adapter=bottleneck", "no_adapters is model/adapter=none"),
        ("ablation=no_adapters model.embed_dim=64", "no_adapters is model.embed_dim=null, and"),
        ("ablation=no_contrast model.contrast_weight=1", "is model.contrast_weight=0.0, and"),
        ("ablation=no_contrast ~model.contrast_weight", "would have no model.contrast_weight"),
        ("ablation=no_orthogonality model=unisrec", "sets model.orthogonality_weight, and model="),
        ("ablation=no_contrast model=sasrec", "and model=sasrec has no such part"),
        ("ablation=context_encoder model=sasrec", "Could not override 'model/network'"),
        ("inputs=text inputs.modalities=[image]", 'inputs=text is inputs.modalities=["text"]'),
        ("transfer=inductive transfer.item_ids=true", "transfer=inductive is transfer.item_ids="),
        ("model.item_ids=true", "model.item_ids follows transfer=: choose that"),
        ("model=zesrec model.item_offsets=true", "model.item_offsets follows transfer="),
        ("model=sasrec_text model/items=ids", "model=sasrec_text is model/items=features"),
    ],
)
def test_a_name_that_would_not_hold_is_refused_in_one_line(words: str, said: str) -> None:
    with pytest.raises(ConfigCompositionException) as refused:
        name_of(words)
    assert said in one_line(refused.value)


@pytest.mark.usefixtures("own_conf")
@pytest.mark.parametrize("model", TAKES)
def test_an_experiment_with_a_model_does_what_it_says_or_is_refused(model: str) -> None:
    inputs, transfers = TAKES[model]
    composed = set()
    for experiment in [*EXPERIMENTS, "table2/unisrec_text", "table2/fdsa_text_id"]:
        try:
            name = name_of(f"experiment={experiment} model={model}")
        except HydraException:
            continue
        composed.add(experiment)
        _, _, has_inputs, has_transfer, _ = name.split("-")
        assert has_inputs in inputs.split(), experiment
        assert has_transfer in transfers, experiment
    assert {"scratch", "finetune"} <= composed
    assert len(composed & {"table2/unisrec_text", "table2/fdsa_text_id"}) == (
        model in {"unisrec", "fdsa"}
    )


@pytest.mark.usefixtures("own_conf")
@pytest.mark.parametrize("model", MODELS)
def test_a_model_has_item_ids_where_it_takes_the_transfer_that_says_so(
    model: str, tmp_path: Path
) -> None:
    features = {"text": raw_features(num_items=24, width=8)}
    taken = []
    for transfer in ("inductive", "transductive"):
        overrides = [f"model={model}", f"transfer={transfer}", f"paths.data_dir={tmp_path}"]
        try:
            cfg = compose_train(ROOT, overrides)
        except ConfigCompositionException:
            continue
        histories = random_sequences(num_users=8, num_items=24, shortest=3, longest=9, seed=1)
        items = catalogue(histories, features=features, num_items=24)
        part: nn.Module = build(cfg, "model", catalogue=items)
        taken.append(transfer)
        if any(True for _ in part.parameters()):
            has_ids = any(
                isinstance(module, nn.Embedding) and module.padding_idx == PAD_ID
                for module in part.modules()
            )
            assert has_ids == (transfer == "transductive")
    assert taken
