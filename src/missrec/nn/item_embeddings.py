"""One embedding an item, learned by id or adapted from its features."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from missrec.types import Catalogue


class IdEmbedding(nn.Embedding):
    """A learned vector for each item of one catalogue; zeros for padding."""

    def __init__(self, *, catalogue: Catalogue, embed_dim: int, init_std: float) -> None:
        """N + 1 vectors, normal with `init_std`."""
        super().__init__(catalogue.num_items + 1, embed_dim, padding_idx=0)
        nn.init.normal_(self.weight[1:].detach(), std=init_std)


class FeatureEmbedding(nn.Module):
    """The adapted features of one modality.

    **Differs** from the public codes of UniSRec and its kin, which adapt a zero vector: an item
    without the feature is the zero vector itself, as everywhere in this project.
    """

    def __init__(
        self, *, catalogue: Catalogue, embed_dim: int, adapter: Callable[[int, int], nn.Module]
    ) -> None:
        """The adapter of the only modality in use.

        Args:
            catalogue: with the features of one modality.
            embed_dim: D.
            adapter: (F, D) -> module.

        Raises:
            ValueError: no modality is in use, or several are.
        """
        super().__init__()
        self.features = catalogue.features
        if self.features.num_modalities != 1:
            raise ValueError(
                f"this model reads one modality, not {self.features.modalities or 'none'}; choose "
                "inputs=text or inputs=image"
            )
        self.adapter = adapter(self.features.dims[0], embed_dim)
        self._embed_dim = embed_dim

    def forward(self, item_ids: Tensor) -> Tensor:
        """(..., D) of items (...); zeros for padding and for an item without the feature."""
        exists = self.features.present(item_ids)[0]
        adapted = self.adapter(self.features.lookup(0, item_ids[exists]))
        embeddings = adapted.new_zeros(*item_ids.shape, self._embed_dim)
        return embeddings.index_put((exists,), adapted)  # type: ignore[no-any-return]
