import math

import pytest
import torch
from torch import Tensor

from pipeline.objectives.cocoa import Cocoa
from pipeline.types import Embeddings
from tests.references import cosine, fixture_a, overlap_loop

NAMES = ("a", "b", "c")


def streams() -> list[Tensor]:
    first, second = fixture_a()
    return [first[:4], second[:4], torch.tanh(first[:4] + second[:4])]


def embeddings(present: list[list[bool]], spans: list[list[int]] | None = None) -> Embeddings:
    idx = torch.arange(4)
    return Embeddings(
        idx,
        {name: z[None] for name, z in zip(NAMES, streams(), strict=True)},
        {name: torch.tensor(here) for name, here in zip(NAMES, present, strict=True)},
        dict.fromkeys(NAMES, idx),
        spans=None if spans is None else torch.tensor(spans),
    )


@pytest.mark.parametrize(("form", "published"), [("ratio", 1.36455019), ("sum", 0.45684311)])
def test_sum_over_samples_equals_published_value(form: str, published: float) -> None:
    found = embeddings([[True] * 4] * 3)

    loss = Cocoa.model_validate({"form": form}).build(NAMES)(found).total()

    assert abs(4 * float(loss) - published) < 1e-6


@pytest.mark.parametrize("form", ["ratio", "sum"])
def test_samples_repel_within_the_streams_they_have_and_windows_that_overlap_do_not(form: str) -> None:
    present = [[True, True, True, True], [True, False, True, True], [False, False, True, True]]
    spans = [[0, 0, 9], [0, 5, 15], [0, 20, 30], [1, 0, 9]]
    z, tau, losses = streams(), 0.2, []
    for i in (0, 2, 3):  # sample 1 has one stream only
        has = [m for m in range(3) if present[m][i]]
        pairs = [(m, n) for m in has for n in has]
        repelled = 0.0
        for m in has:
            others = [j for j in range(4) if j != i and present[m][j] and not overlap_loop(spans[i], spans[j])]
            repelled += sum(math.exp(cosine(z[m][i], z[m][j]) / tau) for j in others) / len(others)
        if form == "ratio":
            attracted = sum(math.exp(cosine(z[m][i], z[n][i]) / tau) for m, n in pairs if m != n)
            losses.append(-math.log(attracted / (attracted + repelled)))
        else:
            apart = sum(math.exp((1 - cosine(z[m][i], z[n][i])) / tau) for m, n in pairs) / len(pairs)
            losses.append(apart / 32 + 3.9e-3 * repelled)

    actual = Cocoa.model_validate({"form": form, "temperature": tau}).build(NAMES)(embeddings(present, spans)).total()

    assert float(actual) == pytest.approx(sum(losses) / 3, abs=1e-9)
