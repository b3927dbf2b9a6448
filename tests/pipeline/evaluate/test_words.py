import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from modalities.spec import Signal
from pipeline.errors import DataError
from pipeline.evaluate.words import Words

TEXTS = ["5 6 7 5", "5 8", "9 9 6 7"]


def signal(texts: list[str], length: int = 6, present: list[bool] | None = None) -> Signal:
    values = torch.zeros(len(texts), length, dtype=torch.int64)
    mask = torch.zeros(len(texts), length, dtype=torch.bool)
    for i, text in enumerate(texts):
        tokens = torch.tensor([int(word) for word in text.split()])
        values[i, : len(tokens)], mask[i, : len(tokens)] = tokens, True
    return Signal(values, mask, torch.tensor(present or [True] * len(texts)))


def test_weights_equal_those_of_the_words_written_out():
    reference = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", sublinear_tf=True).fit(TEXTS)
    expected = np.sort(reference.transform(TEXTS).toarray(), axis=1)

    np.testing.assert_allclose(np.sort(Words().fit([signal(TEXTS)])(signal(TEXTS)), axis=1), expected, atol=1e-6)


def test_only_fitted_tokens_count_and_padding_is_no_token():
    words = Words().fit([signal(["5 6"]), signal(["6 7"])])

    assert not words(signal(["8 9 0 0"])).any()
    np.testing.assert_array_equal(words(signal(["5 6"], length=3)), words(signal(["5 6"], length=9)))


def test_absent_text_is_zero_even_with_leftover_tokens():
    words = Words().fit([signal(TEXTS)])

    assert not words(signal(TEXTS, present=[False, True, True]))[0].any()


def test_no_text_in_training_is_an_error():
    with pytest.raises(DataError, match="no training sample has text"):
        Words().fit([signal(TEXTS, present=[False] * 3)])
