from __future__ import annotations

import pytest
import torch
from conftest import Compose
from torch import Tensor, nn

from missrec.app.build import build_experiment, compile_modules
from run_settings import as_run, prepare_data


def losses_and_gradients(compose_tiny: Compose, compiled: list[str]) -> list[Tensor]:
    """Of three batches of different lengths, from the same start; no dropout."""
    cfg = compose_tiny("model.network.block.dropout_prob=0", "datamodule.pool_batches=1")
    prepare_data(cfg)
    torch.manual_seed(0)
    experiment = build_experiment(as_run(cfg))
    model = experiment.module.model
    names = list(model.state_dict())
    compile_modules(model, compiled, backend="aot_eager")
    assert list(model.state_dict()) == names
    assert (model.network._compiled_call_impl is not None) == ("network" in compiled)
    model.refresh_interests()  # type: ignore[operator]
    found = []
    batches = list(experiment.datamodule.train_dataloader())[:3]
    assert len({batch.item_ids.shape[1] for batch in batches}) > 1
    for batch in batches:
        model.zero_grad()
        loss = model.training_loss(batch).total  # type: ignore[operator]
        loss.backward()
        found += [loss.detach(), model.network.get_parameter("token_norm.weight").grad.clone()]
    return found


# torch.compile itself looks at the .grad of tensors that have none
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_compiled_network_gives_the_same_losses_and_gradients(compose_tiny: Compose) -> None:
    compiled = losses_and_gradients(compose_tiny, ["network"])
    torch.testing.assert_close(compiled, losses_and_gradients(compose_tiny, []))


def test_an_unknown_part_to_compile_is_refused_with_the_known_ones() -> None:
    model = nn.Sequential(nn.Linear(1, 1))
    with pytest.raises(ValueError, match=r"no part 'network'; its parts: 0"):
        compile_modules(model, ["network"], backend="aot_eager")


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["model=sasrec", "model.encoder.positions_from_end=true"], "count from the last item"),
        (["model=voters", "model.encoder.positions_from_end=true"], "count from the last item"),
        (["model=missrec"], "in both directions"),
        (["model=most_popular"], "learns nothing"),
    ],
)
def test_prefixes_are_read_together_only_where_one_pass_serves_all(
    compose_tiny: Compose, overrides: list[str], reason: str
) -> None:
    cfg = compose_tiny("samples=prefixes_together", *overrides, base=("experiment=scratch",))
    prepare_data(cfg)
    with pytest.raises(ValueError, match=reason):
        build_experiment(as_run(cfg))


def test_missrec_plus_reads_prefixes_together_unless_told_otherwise(compose_tiny: Compose) -> None:
    cfg = compose_tiny("model=missrec_plus", base=("experiment=scratch",))
    prepare_data(cfg)
    build_experiment(as_run(cfg))
    assert cfg.datamodule.together
