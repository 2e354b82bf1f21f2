"""Latent semantic analysis: text features that need no weights and no network."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from missrec.data.domain import read_items
from missrec.data.manifest import MANIFEST, FolderError, read_manifest, write_manifest
from missrec.features.encoders.encoder import NO_KNOWN_WORD, Loaded
from missrec.features.encoders.terms import text_terms
from missrec.features.inputs import OK
from missrec.files import replace_folder

_VOCABULARY, _IDF, _COMPONENTS = "vocabulary.json", "idf.npy", "components.npy"
_FILES = (_VOCABULARY, _IDF, _COMPONENTS)
_PACKAGES = ("scikit-learn", "scipy", "numpy")
_CHARACTERS = "max_char_ngram"
"""The setting that the encoders of before do not have: they know words alone, as scikit-learn
finds them, and have to encode for ever as they did."""

_log = logging.getLogger(__name__)


class LsaEncoder:
    """TF-IDF projected on its leading singular directions.

    Fitted once on the texts of some domains and kept in `<cache_dir>/lsa-<digest>`, where the
    digest is that of the settings and the texts; the same settings and texts find it again. The
    sign of a direction, which the mathematics leaves open, makes its largest weight positive.

    **Source**: Deerwester et al., Indexing by latent semantic analysis, 1990.
    """

    modalities = ("text",)

    def __init__(
        self,
        *,
        fit_on: list[str],
        fitted: str | None,
        cache_dir: str,
        dim: int,
        max_ngram: int,
        max_char_ngram: int,
        min_documents: int,
        max_terms: int,
        seed: int,
    ) -> None:
        """Loads the fitted encoder, or fits and saves it.

        Args:
            fit_on: domain folders whose texts it is fitted on.
            fitted: folder of a fitted encoder to use as it is; `fit_on` and the settings below
                are then not looked at.
            cache_dir: where fitted encoders are kept.
            dim: F, number of directions.
            max_ngram: longest run of words that is a term.
            max_char_ngram: longest run of characters that is a term, in scripts without blanks
                between words; see `text_terms`. 0: words alone, as scikit-learn finds them.
            min_documents: texts that a term must occur in.
            max_terms: of the vocabulary; the most frequent ones stay.
            seed: of the randomised decomposition.

        Raises:
            FileNotFoundError: a domain folder, or the fitted encoder, is missing.
            ValueError: the texts have fewer terms, or there are fewer of them, than dim; a
                negative max_char_ngram; or a fitted encoder that does not match its manifest.
        """
        self._settings = {
            "dim": dim,
            "max_ngram": max_ngram,
            "min_documents": min_documents,
            "max_terms": max_terms,
            "seed": seed,
        }
        if max_char_ngram < 0:
            raise ValueError(f"max_char_ngram ({max_char_ngram}) must be at least 0")
        if max_char_ngram:
            self._settings[_CHARACTERS] = max_char_ngram
        self._load(Path(fitted) if fitted else self._fitted(fit_on, cache_dir))

    def description(self, modality: str) -> dict[str, Any]:
        """Settings, the domains it was fitted on, digests of its files, and versions."""
        return {
            "encoder": "lsa",
            **self._facts,
            "packages": {name: version(name) for name in self._packages},
        }

    def load(self, modality: str, inputs: Sequence[str]) -> Loaded:
        """The features (B, F) themselves; a text without a term of the vocabulary has none."""
        terms = self._vectorizer.transform(inputs)  # (B, terms), sparse
        features = np.asarray(terms @ self._components.T, dtype=np.float32)
        outcomes = [OK if count else NO_KNOWN_WORD for count in terms.getnnz(axis=1)]
        return Loaded(torch.from_numpy(features), outcomes)

    def encode(self, modality: str, values: Tensor) -> Tensor:
        """(B, F) as they were loaded."""
        return values

    def _fitted(self, fit_on: Sequence[str], cache_dir: str) -> Path:
        """The folder of the encoder fitted on these domains, fitted now if it is not there."""
        folders = [Path(folder) for folder in fit_on]
        texts = [text for folder in folders for text in read_items(folder)["text"] if text.strip()]
        content = json.dumps([self._settings, texts]).encode()
        folder = Path(cache_dir) / f"lsa-{hashlib.sha256(content).hexdigest()[:8]}"
        if not (folder / MANIFEST).is_file():
            self._fit(folder, texts, [path.name for path in folders])
        return folder

    def _fit(self, folder: Path, texts: list[str], names: list[str]) -> None:
        _log.info("fitting LSA on %s texts of %s", f"{len(texts):,}", ", ".join(names))
        settings = self._settings
        if not texts:
            raise ValueError(f"fit_on ({', '.join(names)}): no item there has a text")
        vectorizer = _vectorizer(
            settings,
            min_df=settings["min_documents"],
            max_features=settings["max_terms"],
        )
        matrix = vectorizer.fit_transform(texts)  # (texts, terms), sparse
        if settings["dim"] > min(matrix.shape):
            raise ValueError(
                f"dim ({settings['dim']}) must be at most {min(matrix.shape)}: {', '.join(names)} "
                f"has {matrix.shape[0]} texts with {matrix.shape[1]} terms; lower it, or fit "
                "on more domains"
            )
        svd = TruncatedSVD(settings["dim"], random_state=settings["seed"]).fit(matrix)
        components = svd.components_
        largest = np.abs(components).argmax(axis=1)[:, None]
        components = components * np.sign(np.take_along_axis(components, largest, axis=1))
        with replace_folder(folder) as draft:
            vocabulary = vectorizer.get_feature_names_out().tolist()
            text = json.dumps(vocabulary, ensure_ascii=False)
            (draft / _VOCABULARY).write_text(text, encoding="utf-8")
            np.save(draft / _IDF, vectorizer.idf_)
            np.save(draft / _COMPONENTS, components.astype(np.float32))
            write_manifest(draft, {"settings": settings, "fitted_on": names})

    def _load(self, folder: Path) -> None:
        try:
            manifest = read_manifest(folder, facts=["settings", "fitted_on"], files=_FILES)
        except FolderError as error:
            raise ValueError(f"{error}; delete the folder and fit the encoder again") from error
        vocabulary = json.loads((folder / _VOCABULARY).read_text(encoding="utf-8"))
        settings = manifest["settings"]
        self._vectorizer = _vectorizer(settings, vocabulary=vocabulary)
        self._vectorizer.idf_ = np.load(folder / _IDF, allow_pickle=False)
        self._components = np.load(folder / _COMPONENTS, allow_pickle=False)  # (F, terms)
        self._facts = {
            "settings": settings,
            "fitted_on": manifest["fitted_on"],
            "weights_sha256": {name: manifest["files"][name]["sha256"] for name in _FILES},
        }
        self._packages = (*_PACKAGES, "regex") if _CHARACTERS in settings else _PACKAGES


def _vectorizer(settings: Mapping[str, int], **options: Any) -> TfidfVectorizer:
    max_ngram, max_char_ngram = settings["max_ngram"], settings.get(_CHARACTERS, 0)
    if max_char_ngram:
        options["analyzer"] = partial(
            text_terms, max_ngram=max_ngram, max_char_ngram=max_char_ngram
        )
    else:
        options |= {"ngram_range": (1, max_ngram), "strip_accents": "unicode"}
    return TfidfVectorizer(sublinear_tf=True, **options)
