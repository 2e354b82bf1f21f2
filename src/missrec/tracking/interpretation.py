"""What a run found, as files in its folder and in trackers: interests, their drift, alpha."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from pytorch_lightning import Callback, LightningModule, Trainer

from missrec.data.domain import read_titles
from missrec.files import write_parquet
from missrec.models.missrec import MISSRec
from missrec.report.figures.interests import epochs_figure, interest_table, interests_figure
from missrec.tracking.interest_maps import InterestMaps
from missrec.tracking.tracker import trackers

_SHOWN_INTERESTS = 200


class Interpretation(Callback):
    """Describes the interests of the tested model and how they came to be.

    Of a `MISSRec` model, logs `fusion/alpha`, and after the test writes into `output_dir`:
    `tokens.parquet` (each item token with its interest), `interests.parquet` (each interest with
    its size, modalities and most central items), `epochs.parquet` (live interests, drift and alpha
    at the start of each epoch), `epoch_maps.parquet` (where the largest interests lay then, see
    `InterestMaps`), and `interests.png` and `epochs.png`. The tokens are those of the
    tested weights; the prototypes were found at the start of their epoch. Other models have no
    interests.
    """

    def __init__(self, *, folders: Sequence[str], output_dir: str, num_central: int) -> None:
        """Keeps the settings.

        Args:
            folders: the domain folders of the run, in the order of its domains.
            output_dir: where the files go.
            num_central: items to name of each interest.
        """
        self._folders = [Path(folder) for folder in folders]
        self._output_dir = Path(output_dir)
        self._num_central = num_central
        self._epochs: list[dict[str, float]] = []
        self._maps = InterestMaps()

    def state_dict(self) -> dict[str, Any]:
        """The epochs so far, so that a resumed run keeps them."""
        return {"epochs": self._epochs, "maps": self._maps.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the epochs of the run that is resumed."""
        self._epochs = list(state_dict["epochs"])
        if "maps" in state_dict:  # not of an earlier version
            self._maps.load_state_dict(state_dict["maps"])

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes live interests, drift and alpha; after the refresh, by the order of callbacks."""
        model = pl_module.model
        if not isinstance(model, MISSRec):
            return
        alpha = model.fusion.alpha.detach()
        report = model.interests.report
        row = {
            "epoch": trainer.current_epoch,
            "live": float("nan") if report is None else report.num_live,
            "drift": float("nan") if report is None else report.drift,
            "alpha": float(alpha.mean()),
            "alpha_lowest": float(alpha.min()),
            "alpha_highest": float(alpha.max()),
        }
        self._epochs.append(row)
        self._maps.note(trainer.current_epoch, model.interests)
        pl_module.log("fusion/alpha", row["alpha"], on_step=False, on_epoch=True, batch_size=1)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the files and shows them."""
        model = pl_module.model
        if not isinstance(model, MISSRec) or not trainer.is_global_zero:
            return
        self._output_dir.mkdir(parents=True, exist_ok=True)
        modalities = list(model.features.modalities)
        tokens = _tokens(model, read_titles(self._folders))
        interests = interest_table(
            tokens,
            modalities=modalities,
            num_interests=len(model.interests.prototypes),
            num_central=self._num_central,
        )
        write_parquet(self._output_dir / "tokens.parquet", tokens)
        write_parquet(self._output_dir / "interests.parquet", interests)
        pictures = {"interests/sizes": self._output_dir / "interests.png"}
        interests_figure(pictures["interests/sizes"], interests, modalities=modalities)
        if self._epochs:
            epochs = pl.DataFrame(self._epochs)
            write_parquet(self._output_dir / "epochs.parquet", epochs)
            write_parquet(self._output_dir / "epoch_maps.parquet", self._maps.table(modalities))
            pictures["interests/epochs"] = self._output_dir / "epochs.png"
            epochs_figure(pictures["interests/epochs"], epochs)
        shown = interests.head(_SHOWN_INTERESTS).with_columns(
            pl.col("central_items").list.join("; ")
        )
        for tracker in trackers(trainer):
            tracker.show_table("interests/largest", shown)
            for key, path in pictures.items():
                tracker.show_figure(key, path)


def _tokens(model: MISSRec, titles: pl.DataFrame) -> pl.DataFrame:
    """One row an item token: the item, its modality, its interest, and how central it is."""
    members = model.interests.members(model.item_tokens())
    modalities, item_ids, interests, distances = (column.cpu().numpy() for column in members)
    names = pl.Series(list(model.features.modalities))
    return titles[item_ids - 1].with_columns(
        names[modalities].alias("modality"),
        pl.Series("interest", interests),
        pl.Series("distance", distances),
    )
