import math

import pytest
import torch
from pydantic import ValidationError

from pipeline.objectives.transformations import Transformations, recognition_loss
from tests.references import fixture_a


def test_loss_is_that_of_the_loop_over_views_and_present_samples() -> None:
    first, second = fixture_a()
    logits = torch.stack([first[:, :3], second[:, :3], first[:, 1:] - second[:, :3]])
    present = torch.tensor([True, True, False, True, False, True])
    losses = [
        -math.log(math.exp(logits[view, b, view]) / sum(math.exp(logits[view, b, other]) for other in range(3)))
        for view in range(3)
        for b in range(6)
        if present[b]
    ]

    assert recognition_loss(logits, present).item() == pytest.approx(sum(losses) / len(losses), rel=1e-12)


def test_who_cannot_tell_pays_the_logarithm_of_the_choices() -> None:
    everybody = torch.ones(5, dtype=torch.bool)

    assert recognition_loss(torch.zeros(7, 5, 7), everybody).item() == pytest.approx(math.log(7))
    assert recognition_loss(99 * torch.eye(7)[:, None].expand(7, 5, 7), everybody).item() == 0


def test_a_view_is_made_by_each_transform_and_by_none() -> None:
    assert Transformations(transforms=("jitter", "reversal")).num_views == 3
    with pytest.raises(ValidationError, match="named twice"):
        Transformations(transforms=("jitter", "jitter"))
