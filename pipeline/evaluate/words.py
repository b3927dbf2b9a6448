"""TF-IDF of tokens: the hand-made features of a text stream."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from modalities.spec import Signal
from pipeline.errors import DataError

Tokens = NDArray[np.int64]


class Words:
    """Signal (B, L) -> (B, F) float32, after `fit` on training rows only; unseen tokens count for nothing."""

    def __init__(self, *, max_features: int = 2000) -> None:
        """max_features: the most frequent tokens and pairs of neighbouring tokens are kept."""
        self._vectorizer = TfidfVectorizer(  # pyright: ignore[reportArgumentType] - its stub lacks callables
            analyzer=_terms,  # pyright: ignore[reportArgumentType] - the stub knows only str
            max_features=max_features,
            sublinear_tf=True,
        )

    def fit(self, signals: Iterable[Signal]) -> "Words":
        """Learn vocabulary and document frequencies. Raises DataError where no training sample has text."""
        texts = [text for signal in signals for text in _texts(signal) if len(text)]
        if not texts:
            raise DataError("no training sample has text", code="DATA_TEXT")
        self._vectorizer.fit(texts)
        return self

    def __call__(self, signal: Signal) -> NDArray[np.float32]:
        return self._vectorizer.transform(_texts(signal)).toarray().astype(np.float32)


def _texts(signal: Signal) -> list[Tokens]:
    """Token numbers of every sample without padding; empty where absent."""
    values, present = signal.values.cpu().numpy(), signal.present.cpu().numpy()
    mask = np.ones(values.shape, dtype=bool) if signal.mask is None else signal.mask.cpu().numpy()
    return [row[kept & seen] for row, kept, seen in zip(values, mask, present, strict=True)]


def _terms(tokens: Tokens) -> list[tuple[int, ...]]:
    words = tokens.tolist()
    return [(word,) for word in words] + list(pairwise(words))
