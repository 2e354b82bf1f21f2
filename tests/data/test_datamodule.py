from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from missrec.data.datamodule import SequenceDataModule
from missrec.data.splits import GlobalTime, LeaveOneOut
from missrec.types import SequenceBatch
from synthetic import (
    SEQUENCES,
    prepared_domain,
    random_sequences,
    training_counts,
    write_domain_folder,
)

Row = tuple[int, tuple[int, ...], int]
MANY = random_sequences(num_users=40, num_items=30)


def datamodule(*folders: Path, **changes: Any) -> SequenceDataModule:
    settings: dict[str, Any] = {
        "split": LeaveOneOut(),
        "prefixes": True,
        "repeats": 1,
        "max_seq_len": 50,
        "mixing_exponent": 1.0,
        "batch_size": 8,
        "eval_batch_size": 16,
        "pool_batches": 4,
        "trim_padding": True,
        "num_workers": 0,
        "pin_memory": False,
        "seed": 7,
    }
    module = SequenceDataModule(folders=[str(folder) for folder in folders], **settings | changes)
    module.setup()
    return module


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_domain_folder(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prepared = prepared_domain(MANY, name="many", num_items=30)
    return write_domain_folder(tmp_path_factory.mktemp("data") / "many", prepared)


def rows(batches: Iterable[SequenceBatch]) -> list[Row]:
    """(user, history, target) of each sample, in order."""
    return [
        (int(user), tuple(history[history != 0].tolist()), int(target))
        for batch in batches
        for user, history, target in zip(*batch, strict=True)
    ]


def train_loader(module: SequenceDataModule, *, epoch: int) -> DataLoader[SequenceBatch]:
    loader = module.train_dataloader()
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    return loader


def test_training_samples_are_all_prefixes_before_the_held_out_items(tiny: Path) -> None:
    assert sorted(rows(datamodule(tiny).train_dataloader())) == [
        (0, (1,), 2),
        (0, (1, 2), 3),
        (2, (5,), 4),
        (3, (2,), 5),
        (3, (2, 5), 3),
        (3, (2, 5, 3), 1),
    ]


def test_without_prefixes_a_sample_is_the_whole_training_sequence(tiny: Path) -> None:
    module = datamodule(tiny, prefixes=False)
    assert sorted(rows(module.train_dataloader())) == [
        (0, (1, 2), 3),
        (2, (5,), 4),
        (3, (2, 5, 3), 1),
    ]
    assert module.domains.train_counts.equal(datamodule(tiny).domains.train_counts)


def test_repeated_samples_come_that_often_in_an_epoch_and_are_counted_once(
    tiny: Path, many: Path
) -> None:
    once, thrice = (datamodule(tiny, many, prefixes=False, repeats=count) for count in (1, 3))
    expected = sorted(rows(once.train_dataloader()) * 3)
    assert sorted(rows(thrice.train_dataloader())) == expected
    assert thrice.domains.train_counts.equal(once.domains.train_counts)
    assert [rows(loader) for loader in thrice.val_dataloader()] == [
        rows(loader) for loader in once.val_dataloader()
    ]


def test_less_than_one_repeat_is_refused(tiny: Path) -> None:
    with pytest.raises(ValueError, match=r"repeats \(0\) must be at least 1"):
        datamodule(tiny, repeats=0)


def test_validation_and_test_have_each_user_once_and_test_sees_the_validation_item(
    tiny: Path,
) -> None:
    module = datamodule(tiny)
    (validation,), (test,) = module.val_dataloader(), module.test_dataloader()
    assert sorted(rows(validation)) == [
        (0, (1, 2, 3), 4),
        (1, (3,), 1),
        (2, (5, 4), 1),
        (3, (2, 5, 3, 1), 4),
    ]
    assert sorted(rows(test)) == [
        (0, (1, 2, 3, 4), 5),
        (1, (3, 1), 2),
        (2, (5, 4, 1), 2),
        (3, (2, 5, 3, 1, 4), 6),
    ]


def test_held_out_items_never_occur_in_training(tmp_path: Path) -> None:
    # Items 1..9 are for training, 10..12 only ever come last or last but one.
    sequences = [
        [*sequence, 10 + user % 3, 10 + (user + 1) % 3]
        for user, sequence in enumerate(random_sequences(num_users=20, num_items=9))
    ]
    folder = write_domain_folder(tmp_path / "tiny", prepared_domain(sequences, num_items=12))
    for epoch in range(3):
        for batch in train_loader(datamodule(folder), epoch=epoch):
            assert batch.item_ids.max() <= 9
            assert batch.target_ids.max() <= 9


def test_training_counts_leave_out_the_held_out_items(tiny: Path) -> None:
    # Training sequences 1 2 3 | 3 | 5 4 | 2 5 3 1; padding and item 6 do not occur.
    assert datamodule(tiny).domains.train_counts.tolist() == [0, 2, 2, 3, 1, 2, 0]


def test_every_sample_comes_once_an_epoch_and_epochs_differ(many: Path) -> None:
    expected = sorted(
        (user, tuple(sequence[:end]), sequence[end])
        for user, sequence in enumerate(MANY)
        for end in range(1, len(sequence) - 2)
    )
    module = datamodule(many)
    first, second = (rows(train_loader(module, epoch=epoch)) for epoch in (0, 1))
    assert first != second
    assert sorted(first) == sorted(second) == expected


def test_histories_are_cut_to_max_seq_len(many: Path) -> None:
    (loader,) = datamodule(many, max_seq_len=4).test_dataloader()
    assert sorted(rows(loader)) == [
        (user, tuple(sequence[:-1][-4:]), sequence[-1]) for user, sequence in enumerate(MANY)
    ]


def test_batches_hold_no_column_of_padding_alone(many: Path) -> None:
    module = datamodule(many)
    loaders = [module.train_dataloader(), *module.val_dataloader(), *module.test_dataloader()]
    widths = set()
    for loader in loaders:
        for batch in loader:
            assert batch.valid_mask[:, -1].any()
            widths.add(batch.item_ids.shape[1])
    assert len(widths) > 1


def test_untrimmed_training_batches_are_max_seq_len_wide(many: Path) -> None:
    module = datamodule(many, trim_padding=False, max_seq_len=20)
    assert {batch.item_ids.shape[1] for batch in module.train_dataloader()} == {20}


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2])
def test_worker_processes_change_no_batch(many: Path, num_workers: int) -> None:
    alone, helped = datamodule(many), datamodule(many, num_workers=num_workers)
    loader = helped.train_dataloader()  # its workers live on from epoch to epoch
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for expected, batch in zip(train_loader(alone, epoch=epoch), loader, strict=True):
            assert all(map(torch.equal, expected, batch))


def test_two_domains_share_training_and_are_evaluated_apart(tiny: Path, many: Path) -> None:
    module = datamodule(tiny, many, batch_size=1000)
    (batch,) = module.train_dataloader()
    assert module.domains.num_items == 6 + 30
    assert [span.name for span in module.domains.spans] == ["tiny", "many"]
    assert set(batch.user_ids.tolist()) & {0, 2, 3}  # of tiny
    assert batch.user_ids.max() >= len(SEQUENCES)
    for loader, span in zip(module.test_dataloader(), module.domains.spans, strict=True):
        drawn = rows(loader)
        items = [item for _, history, target in drawn for item in (*history, target)]
        assert len(drawn) == {"tiny": 4, "many": 40}[span.name]
        assert span.first_item <= min(items)
        assert max(items) <= span.last_item


@pytest.mark.parametrize(("exponent", "from_tiny"), [(1.0, 6), (0.0, None)])
def test_mixing_exponent_0_draws_both_domains_equally_often(
    tiny: Path, many: Path, exponent: float, from_tiny: int | None
) -> None:
    loader = datamodule(tiny, many, mixing_exponent=exponent).train_dataloader()
    users = [user for user, _, _ in rows(loader)]
    num_samples = 6 + sum(len(sequence) - 3 for sequence in MANY)
    assert len(users) == num_samples
    expected = num_samples / 2 if from_tiny is None else from_tiny
    assert abs(sum(user < len(SEQUENCES) for user in users) - expected) <= 0.5


def test_training_counts_of_two_domains_follow_each_other(tiny: Path, many: Path) -> None:
    counts = datamodule(tiny, many).domains.train_counts
    assert counts[:7].tolist() == [0, 2, 2, 3, 1, 2, 0]
    assert counts[7:].tolist() == training_counts(MANY, num_items=30)[1:].tolist()


def test_domain_without_training_samples_is_refused(tmp_path: Path) -> None:
    folder = write_domain_folder(tmp_path / "tiny", prepared_domain([[1, 2, 3], [4, 5, 6]]))
    with pytest.raises(ValueError, match=r"tiny: no user has two interactions before"):
        datamodule(folder).train_dataloader()


def test_training_stops_at_the_boundary_of_each_domain(tmp_path: Path) -> None:
    # Boundaries at 60 and 90 of 11 interactions, at 8 and 10 of 12.
    times = [0, 10, 20, 30, 40, 50, 60, 5, 70, 90, 100]
    one = prepared_domain([[1, 2, 3, 4], [5, 6, 1], [2, 3, 4, 5]], times=times)
    two = prepared_domain([[1] * 6, [2] * 6], times=[*range(12)], name="two")
    folders = [write_domain_folder(tmp_path / part.name, part) for part in (one, two)]
    module = datamodule(*folders, split=GlobalTime(val_from=0.65, test_from=0.85))
    assert sorted(rows(module.train_dataloader())) == [
        (0, (1,), 2),
        (0, (1, 2), 3),
        (0, (1, 2, 3), 4),
        (1, (5,), 6),
        *((3, (7,) * length, 7) for length in range(1, 6)),
        (4, (8,), 8),
    ]
    assert module.domains.train_counts.tolist() == [0, 1, 2, 1, 1, 1, 1, 6, 2, 0, 0, 0, 0]
    assert [sorted(rows(loader)) for loader in module.val_dataloader()] == [
        [(1, (5, 6), 1), (2, (2,), 3)],
        [(4, (8, 8), 8)],
    ]
    assert [sorted(rows(loader)) for loader in module.test_dataloader()] == [
        [(2, (2, 3), 4)],
        [(4, (8, 8, 8, 8), 8)],
    ]


def test_split_by_time_of_a_domain_without_times_is_refused(tiny: Path) -> None:
    with pytest.raises(ValueError, match=r"tiny has the order .* this split needs"):
        datamodule(tiny, split=GlobalTime(val_from=0.8, test_from=0.9))


def test_split_that_leaves_nobody_to_test_is_refused(tmp_path: Path) -> None:
    prepared = prepared_domain([[1, 2, 3], [4, 5, 6]], times=[1, 1, 1, 1, 1, 1])
    module = datamodule(
        write_domain_folder(tmp_path / "tiny", prepared),
        split=GlobalTime(val_from=0.8, test_from=0.9),
    )
    with pytest.raises(ValueError, match=r"tiny: the split leaves no user to validate"):
        module.val_dataloader()


def test_missing_folder_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.manifest.json is missing"):
        datamodule(tmp_path / "nowhere")


def test_data_before_setup_is_refused(tiny: Path) -> None:
    module = datamodule(tiny)
    module._domains = None
    with pytest.raises(RuntimeError, match=r"no data before setup\(\)"):
        module.train_dataloader()


def asked(batches: Iterable[SequenceBatch]) -> list[Row]:
    """(user, history, target) of each prefix that batches of whole passes ask for, in order."""
    return [
        (int(user), tuple(items[: step + 1].tolist()), int(target))
        for batch in batches
        for user, items, targets in zip(*batch, strict=True)
        for step, target in enumerate(targets)
        if target != 0
    ]


@pytest.mark.parametrize("max_seq_len", [1, 3, 50])
def test_prefixes_together_ask_for_each_prefix_as_it_would_be_read_alone(
    many: Path, max_seq_len: int
) -> None:
    settings = {"max_seq_len": max_seq_len, "batch_size": 20}
    apart = datamodule(many, **settings).train_dataloader()
    loader = datamodule(many, **settings, together=True).train_dataloader()
    batches = list(loader)
    assert sorted(asked(batches)) == sorted(rows(apart))
    assert len(batches) == len(loader) == len(apart)
    sizes = [len(batch.asked_ids) for batch in batches]
    most = max(int((batch.target_ids != 0).sum(dim=1).max()) for batch in batches)
    assert max(sizes) - min(sizes) < 2 * most


def test_prefixes_together_take_fewer_passes_and_repeat_them(many: Path) -> None:
    once = list(datamodule(many, together=True).train_dataloader())
    twice = list(datamodule(many, together=True, repeats=2).train_dataloader())
    assert sum(len(batch.user_ids) for batch in once) == sum(len(s) >= 4 for s in MANY)
    assert sorted(asked(twice)) == sorted(2 * asked(once))


def test_batches_smaller_than_a_sample_hold_one_at_least(many: Path) -> None:
    loader = datamodule(many, together=True, batch_size=1).train_dataloader()
    batches = list(loader)
    assert len(batches) == len(loader)
    assert all(len(batch.user_ids) for batch in batches)


def test_the_order_of_prefixes_together_follows_the_epoch_and_can_start_inside_it(
    many: Path,
) -> None:
    module = datamodule(many, together=True, batch_size=20)
    first, again, other = (asked(train_loader(module, epoch=epoch)) for epoch in (0, 0, 1))
    assert first == again
    assert first != other
    assert sorted(first) == sorted(other)
    loader = train_loader(module, epoch=0)
    loader.sampler.resume(epoch=0, first_batch=2)  # type: ignore[attr-defined]
    batches = list(train_loader(module, epoch=0))
    assert asked(loader) == asked(batches[2:])


@pytest.mark.parametrize("changes", [{"prefixes": False}, {"mixing_exponent": 0.5}])
def test_prefixes_together_refuse_what_they_cannot_be(many: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="takes every prefix once an epoch"):
        datamodule(many, together=True, **changes)


def test_balanced_batches_have_as_many_items_and_every_sequence_once(many: Path) -> None:
    settings = {"prefixes": False, "batch_size": 4}
    uneven = datamodule(many, **settings, pool_batches=8).train_dataloader()
    loader = datamodule(many, **settings, pool_batches=8, balanced=True).train_dataloader()
    batches = list(loader)
    assert sorted(rows(batches)) == sorted(rows(uneven))
    sizes = [int(batch.valid_mask.sum()) for batch in batches]
    longest = max(batch.item_ids.shape[1] for batch in batches)
    assert max(sizes) - min(sizes) < 2 * longest
    assert abs(len(batches) - len(uneven)) <= 1
    assert max(sizes) < max(int(batch.valid_mask.sum()) for batch in uneven)


@pytest.mark.parametrize("changes", [{"prefixes": True}, {"mixing_exponent": 0.5}])
def test_balanced_batches_refuse_what_they_cannot_be(many: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="takes every whole sequence once an epoch"):
        datamodule(many, **{"prefixes": False, **changes}, balanced=True)
