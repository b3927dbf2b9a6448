import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from modalities.spec import Patches
from pipeline.objectives.masked import Masked
from pipeline.objectives.reconstruction import category_error, reconstruction_error, standardized
from pipeline.objectives.spec import Projection
from pipeline.types import Embeddings
from tests.references import fixture_a

X, Z = fixture_a()


def test_error_is_the_mean_over_asked_values_alone() -> None:
    predicted, target = X[:, :, None].expand(-1, -1, 2), Z[:, :, None] * torch.tensor([1.0, -1.0])
    asked = (torch.arange(48) % 5 < 2).reshape(6, 4, 2)
    total, count = 0.0, 0
    for place in asked.nonzero().tolist():
        b, s, p = place
        total += float(predicted[b, s, p] - target[b, s, p]) ** 2
        count += 1

    assert reconstruction_error(predicted, target, asked).item() == pytest.approx(total / count, rel=1e-12)


def test_patches_are_standardised_over_what_is_known_of_them() -> None:
    values = torch.tensor([[[1.0, 3.0, 5.0, 99.0], [4.0, 4.0, 4.0, 4.0], [7.0, 9.0, 9.0, 9.0], [1.0, 2.0, 3.0, 4.0]]])
    known = torch.tensor([[[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]]], dtype=torch.bool)

    found = standardized(values.double(), known)

    assert found[0, 0].tolist() == pytest.approx([-1.0, 0.0, 1.0, 0.0], abs=1e-6)  # mean 3, deviation 2
    assert found[0, 1:].abs().max() == 0


def test_fully_known_patches_are_those_of_the_reference() -> None:
    """`(target - mean) / (var + 1e-6) ** 0.5` of each patch, with the unbiased variance that torch has as default."""
    target = X.reshape(1, 6, 4)
    expected = (target - target.mean(dim=-1, keepdim=True)) / (target.var(dim=-1, keepdim=True) + 1e-6) ** 0.5

    torch.testing.assert_close(standardized(target, torch.ones_like(target, dtype=torch.bool)), expected)


@pytest.mark.parametrize("normalize_patches", [False, True])
def test_a_perfect_guess_costs_nothing_and_none_the_mean_square(normalize_patches: bool) -> None:
    values = X.reshape(2, 3, 4)
    known = torch.ones_like(values, dtype=torch.bool)
    perfect = standardized(values, known) if normalize_patches else values
    loss = Masked(normalize_patches=normalize_patches).build(["imu"])

    def cost(guess: torch.Tensor) -> float:
        rows = torch.arange(2)
        found = Embeddings(
            idx=rows,
            views={},
            present={"imu": torch.ones(2, dtype=torch.bool)},
            content={"imu": rows},
            moments={"imu": guess[None]},
            patches={"imu": Patches(values, known)},
        )
        return loss(found).terms["imu"].item()

    assert cost(perfect) == 0
    nothing = 3 / 4 if normalize_patches else float(X.square().mean())  # unbiased: the squares of n sum to n - 1
    assert math.isclose(cost(torch.zeros_like(values)), nothing, rel_tol=1e-4)


def test_tokens_cost_the_cross_entropy_of_those_that_were_asked_for() -> None:
    """A loop over classifier, softmax and logarithm, in float64."""
    generator = torch.Generator().manual_seed(2)
    z, tokens = torch.randn(3, 5, 4, generator=generator).double(), torch.randint(0, 7, (3, 5, 1), generator=generator)
    known = torch.rand(3, 5, 1, generator=generator) < 0.5
    present = torch.tensor([True, True, False])
    torch.manual_seed(0)
    loss = Masked(projection=Projection(dim=4)).build(["note"], {"note": 7}).double()
    classifier = loss.classifiers["note"]
    assert isinstance(classifier, nn.Linear)
    weight, bias = classifier.weight, classifier.bias
    total, count = 0.0, 0
    for b, s in torch.cartesian_prod(torch.arange(3), torch.arange(5)).tolist():
        if present[b] and known[b, s, 0]:
            scores = [sum(float(weight[c, d] * z[b, s, d]) for d in range(4)) + float(bias[c]) for c in range(7)]
            total -= scores[int(tokens[b, s, 0])] - math.log(sum(math.exp(score) for score in scores))
            count += 1
    rows = torch.arange(3)
    found = Embeddings(
        idx=rows,
        views={},
        present={"note": present},
        content={"note": rows},
        moments={"note": z[None]},
        patches={"note": Patches(tokens, known)},
    )

    assert count > 3
    assert loss(found).terms["note"].item() == pytest.approx(total / count, abs=1e-6)


def test_nothing_asked_for_costs_nothing() -> None:
    logits = torch.randn(0, 5, requires_grad=True)
    error = category_error(logits, torch.zeros(0, dtype=torch.long))
    error.backward()

    assert error.item() == 0


def test_a_stream_that_others_are_decoded_from_is_not_rebuilt() -> None:
    config = Masked(decoded_from="imu")

    assert config.rebuilt(["photo", "imu", "note"]) == ("photo", "note")
    assert config.build(["photo", "imu"]).streams == ("photo",)
    assert (config.least_streams, Masked().least_streams) == (2, 1)
    with pytest.raises(ValidationError, match="decoded_from"):
        Masked(streams=("photo", "note"), decoded_from="imu")
