import math

import pytest
import torch
from torch import Tensor

from pipeline.objectives.contextual import Contextual, Foresight
from pipeline.objectives.spec import Projection
from pipeline.types import Embeddings
from tests.references import nt_xent_loop, overlap_loop

LENGTHS = [6, 6, 4, 1, 6]
PRESENT = [True, True, True, True, False]
SPANS = [[0, 0, 9], [1, 0, 9], [1, 5, 15], [2, 0, 9], [3, 0, 9]]


def embeddings(lengths: list[int] = LENGTHS) -> Embeddings:
    generator = torch.Generator().manual_seed(0)
    z, idx = torch.randn(2, 5, max(lengths), 4, generator=generator, dtype=torch.float64), torch.arange(5)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    found = Embeddings(idx, {}, {"s": torch.tensor(PRESENT)}, {"s": idx}, spans=torch.tensor(SPANS))
    found.moments["s"], found.moments_mask["s"] = z.requires_grad_(), mask
    return found


def prediction_loop(foresight: Foresight, past: Tensor, future: Tensor, moments: list[int], steps: int) -> float:
    """Sample by sample: the context of its real moments alone, one step and one candidate at a time."""
    losses = []
    for now in moments:
        for step in range(1, min(steps, future.shape[1] - 1 - now) + 1):
            for i, length in enumerate(LENGTHS):
                if not PRESENT[i] or now + step >= length:
                    continue
                context = foresight.recurrent(past[i : i + 1, : now + 1])[0][0, -1]
                guess = foresight.ahead[step - 1].weight @ context
                others = [j for j in range(5) if PRESENT[j] and now + step < LENGTHS[j]]
                scores = {
                    j: math.exp((guess @ future[j, now + step]).item())
                    for j in others
                    if j == i or not overlap_loop(SPANS[i], SPANS[j])
                }
                losses.append(-math.log(scores[i] / sum(scores.values())))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("contexts", "moments"), [(9, [0, 1, 2, 3, 4]), (3, [0, 2, 4]), (1, [0])])
def test_own_future_equals_loop_with_variable_lengths(contexts: int, moments: list[int]) -> None:
    config = Contextual(future="own", steps=3, contexts=contexts, context=5, projection=Projection(dim=4))
    loss, found = config.build(["s"]).double(), embeddings()
    foresight = loss.foresight["s"]
    assert isinstance(foresight, Foresight)
    expected = [prediction_loop(foresight, z, z, moments, 3) for z in found.moments["s"].detach()]

    assert loss(found).total().item() == pytest.approx(sum(expected) / 2, abs=1e-9)
    assert (config.num_views, config.needs_time) == (1, False)


def test_the_other_views_future_and_the_contrast_of_last_contexts_equal_loops() -> None:
    config = Contextual(steps=2, contexts=9, context=5, contrast=0.5, projection=Projection(dim=4))
    loss, found = config.build(["s"]).double(), embeddings()
    foresight = loss.foresight["s"]
    assert isinstance(foresight, Foresight)
    first, second = found.moments["s"].detach()
    moments = [0, 1, 2, 3, 4]
    predicted = [prediction_loop(foresight, a, b, moments, 2) for a, b in ((first, second), (second, first))]
    last = [
        torch.stack([foresight.recurrent(z[i : i + 1, : LENGTHS[i]])[0][0, -1] for i in range(5)]).detach()
        for z in (first, second)
    ]
    contrast = nt_xent_loop(last[0], last[1], PRESENT, [0, 1, 1, 3, 4], 0.2)  # samples 1 and 2 overlap

    assert loss(found).total().item() == pytest.approx(sum(predicted) / 2 + 0.5 * contrast, abs=1e-9)


def test_masked_moments_and_absent_samples_get_no_gradient() -> None:
    found = embeddings()
    Contextual(projection=Projection(dim=4)).build(["s"]).double()(found).total().backward()

    gradient = found.moments["s"].grad
    assert gradient is not None
    here = found.moments_mask["s"] & torch.tensor(PRESENT)[:, None]
    assert gradient[:, ~here].abs().max() == 0
    assert gradient[:, here].abs().sum() > 0


def test_one_moment_has_no_future() -> None:
    found = embeddings([1] * 5)

    loss = Contextual(future="own", projection=Projection(dim=4)).build(["s"]).double()(found).total()
    loss.backward()

    assert loss.item() == 0.0
