"""How well new items are recommended by a model that was trained without them.

python bench/new_items.py hide data/scientific     # writes data/scientific_known, to train on

The newest fifth of the items is hidden. The released files have no times: what counts as newest is
the highest ASIN, which Amazon gives out in a rising order as items are listed.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import numpy as np

from missrec.data.domain import MIN_INTERACTIONS, PreparedDomain, read_prepared, write_domain
from missrec.features.store import features_manifest, read_features, write_features
from missrec.files import replace_folder

HIDDEN_SHARE = 0.2


def hide_newest(whole: PreparedDomain) -> PreparedDomain:
    """The domain as it was before its newest items were listed.

    Users who are left with too few interactions to train, validate and test on are dropped.
    """
    keys = np.array(whole.item_keys)
    num_known = len(keys) - round(HIDDEN_SHARE * len(keys))
    known = np.sort(np.argsort(keys, kind="stable")[:num_known])  # 0-based
    new_ids = np.zeros(len(keys) + 1, np.int32)
    new_ids[known + 1] = np.arange(1, len(known) + 1)
    users = np.repeat(np.arange(len(whole.user_keys)), np.diff(whole.offsets))
    kept = new_ids[whole.items] > 0
    lengths = np.bincount(users[kept], minlength=len(whole.user_keys))
    stays = lengths >= MIN_INTERACTIONS
    kept &= stays[users]
    return replace(
        whole,
        items=new_ids[whole.items[kept]],
        offsets=np.concatenate([[0], np.cumsum(lengths[stays])]).astype(np.int64),
        times=None if whole.times is None else whole.times[kept],
        user_keys=[whole.user_keys[user] for user in np.flatnonzero(stays)],
        item_keys=[whole.item_keys[item] for item in known],
        item_texts=[whole.item_texts[item] for item in known],
        image_urls=None if whole.image_urls is None else whole.image_urls.gather(known),
        settings={**whole.settings, "hidden": f"the {HIDDEN_SHARE:.0%} highest item keys"},
    )


def write_known(folder: Path) -> Path:
    """Writes `<folder>_known` beside a domain folder, with the features of the items it keeps."""
    whole = read_prepared(folder)
    known = hide_newest(whole)
    settings = features_manifest(folder)["settings"]
    features = read_features(folder, list(settings), num_items=len(whole.item_keys))
    place = {key: row for row, key in enumerate(whole.item_keys)}
    rows = [place[key] for key in known.item_keys]
    target = folder.with_name(f"{folder.name}_known")
    with replace_folder(target) as draft:
        write_domain(draft, known)
        dense = {}
        for modality, (item_ids, values) in features.items():
            all_rows = np.zeros((len(whole.item_keys), values.shape[1]), values.dtype)
            all_rows[item_ids - 1] = values
            dense[modality] = all_rows[rows]
        write_features(draft, dense, settings=settings[next(iter(settings))])
    return target


def main() -> None:
    """Hides the newest items."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    hide = commands.add_parser("hide")
    hide.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    print(write_known(arguments.folder))


if __name__ == "__main__":
    main()
