from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from missrec.training.transfer import (
    Fate,
    by_component,
    count_parameters,
    freeze_all_but,
    load_pretrained,
)


class Transferred(nn.Module):
    """Adapters F -> 2 of some modalities, a shared network, and an id table of one domain."""

    domain_bound = ("ids",)
    feature_bound = ("adapters",)

    def __init__(
        self, widths: dict[str, int], *, num_items: int, value: float, width: int = 2
    ) -> None:
        super().__init__()
        self.adapters = nn.ModuleDict({name: nn.Linear(dim, 2) for name, dim in widths.items()})
        self.network = nn.Linear(2, width)
        self.ids = nn.Embedding(num_items, 2)
        for parameter in self.parameters():
            nn.init.constant_(parameter, value)


def source() -> dict[str, Tensor]:
    return Transferred({"text": 3, "image": 4}, num_items=5, value=1.0).state_dict()


def fates(model: Transferred) -> dict[str, tuple[Fate, str]]:
    return {t.name: (t.fate, t.why) for t in load_pretrained(model, source(), same_domain=False)}


def test_what_the_domains_share_is_loaded_and_the_rest_stays_as_it_was() -> None:
    model = Transferred({"text": 3, "image": 4}, num_items=9, value=0.0)
    found = fates(model)
    assert found.pop("ids.weight") == (Fate.FRESH, "belongs to one domain")
    assert set(found.values()) == {(Fate.LOADED, "")}
    assert model.ids.weight.eq(0).all()
    assert model.network.weight.eq(1).all()
    assert model.adapters["image"].weight.eq(1).all()


def test_an_adapter_of_other_features_stays_fresh() -> None:
    model = Transferred({"text": 3, "image": 7}, num_items=5, value=0.0)
    found = fates(model)
    assert found["adapters.image.weight"] == (Fate.FRESH, "the features have another width")
    assert model.adapters["image"].weight.eq(0).all()
    assert model.adapters["text"].weight.eq(1).all()


def test_a_modality_of_one_side_only_is_said() -> None:
    found = fates(Transferred({"text": 3, "audio": 2}, num_items=5, value=0.0))
    assert found["adapters.audio.bias"] == (Fate.FRESH, "its modality is new")
    assert found["adapters.image.bias"] == (Fate.SKIPPED, "its modality is not in use here")


def test_any_other_mismatch_is_refused_and_changes_nothing() -> None:
    model = Transferred({"text": 3}, num_items=5, value=0.0, width=6)
    with pytest.raises(ValueError, match=r"network.weight: \(2, 2\) there, \(6, 2\) here"):
        load_pretrained(model, source(), same_domain=False)
    assert all(parameter.eq(0).all() for parameter in model.parameters())
    state = source()
    state["extra"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"extra: \(1,\) there, absent here"):
        load_pretrained(Transferred({"text": 3}, num_items=5, value=0.0), state, same_domain=False)


def test_a_stage_on_the_same_domain_hands_everything_over() -> None:
    model = Transferred({"text": 3, "image": 4}, num_items=5, value=0.0)
    tensors = load_pretrained(model, source(), same_domain=True)
    assert {tensor.fate for tensor in tensors} == {Fate.LOADED}
    assert all(parameter.eq(1).all() for parameter in model.parameters())
    plain = nn.Linear(1, 1)
    load_pretrained(plain, {"weight": torch.ones(1, 1), "bias": torch.ones(1)}, same_domain=True)
    assert plain.weight.eq(1).all()


def test_what_serves_one_stage_alone_stays_behind_on_either_side() -> None:
    class InStages(nn.Module):
        stage_bound = ("heads",)

        def __init__(self, heads: nn.Module | None, *, value: float) -> None:
            super().__init__()
            self.network = nn.Linear(2, 2)
            self.heads = heads
            for parameter in self.parameters():
                nn.init.constant_(parameter, value)

    state = InStages(nn.Linear(2, 3), value=1.0).state_dict()
    for heads, fate in ((None, Fate.SKIPPED), (nn.Linear(2, 1), Fate.FRESH)):
        model = InStages(heads, value=0.0)
        found = {t.name: (t.fate, t.why) for t in load_pretrained(model, state, same_domain=True)}
        assert found["heads.weight"] == (fate, "serves one stage of training")
        assert found["network.weight"] == (Fate.LOADED, "")
        assert model.network.weight.eq(1).all()
        assert heads is None or heads.weight.eq(0).all()
    with pytest.raises(ValueError, match=r"heads.weight: \(3, 2\) there, absent here"):
        load_pretrained(nn.ModuleDict({"network": nn.Linear(2, 2)}), state, same_domain=True)


@pytest.mark.parametrize(
    ("widths", "num_items", "name"),
    [({"text": 3, "image": 4}, 6, "ids.weight"), ({"text": 3, "image": 7}, 5, "adapters.image")],
)
def test_on_the_same_domain_every_mismatch_is_refused(
    widths: dict[str, int], num_items: int, name: str
) -> None:
    model = Transferred(widths, num_items=num_items, value=0.0)
    with pytest.raises(ValueError, match=name):
        load_pretrained(model, source(), same_domain=True)


def test_a_model_that_names_no_domain_state_cannot_be_transferred() -> None:
    with pytest.raises(ValueError, match="Linear has nothing to take"):
        load_pretrained(nn.Linear(1, 1), {}, same_domain=False)


def test_only_what_is_named_still_trains() -> None:
    model = Transferred({"text": 3}, num_items=5, value=0.0)
    freeze_all_but(model, ["adapters", "ids"])
    trains = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trains == {"adapters.text.weight", "adapters.text.bias", "ids.weight"}
    assert count_parameters(model) == (3 * 2 + 2 + 5 * 2, 3 * 2 + 2 + 5 * 2 + 2 * 2 + 2)


def test_the_table_sums_the_tensors_of_a_component() -> None:
    model = Transferred({"text": 3}, num_items=5, value=0.0)
    rows = by_component(load_pretrained(model, source(), same_domain=False))
    assert ("loaded", "adapters.text", "", 2, 3 * 2 + 2) in rows
    assert ("fresh", "ids.weight", "belongs to one domain", 1, 10) in rows
