import math

import pytest
import torch

from pipeline.objectives.spec import Projection
from pipeline.objectives.synchronized import Synchronized, alignment_loss
from pipeline.types import Embeddings
from tests.references import fixture_a

PRESENT = torch.tensor([True, True, True, False, True, True])


def test_loss_is_that_of_the_loop_over_pairs_that_do_not_overlap() -> None:
    first, second = fixture_a()
    spans = torch.tensor(
        [[1, 0, 10], [1, 5, 15], [1, 10, 20], [1, 20, 30], [2, 0, 10], [2, 0, 10]]
    )  # 0 & 1, 1 & 2, 4 & 5
    everybody, idx = torch.ones(6, dtype=torch.bool), torch.arange(6)
    loss = Synchronized(projection=Projection(dim=4)).build(["imu", "photo"]).double()
    content = {"imu": idx, "photo": torch.tensor([0, 1, 2, 3, 0, 5])}  # 0 and 4 hold the same photo
    found = Embeddings(
        idx, {"imu": first[None], "photo": second[None]}, {"imu": everybody, "photo": PRESENT}, content, spans=spans
    )
    form, bias = (loss.get_parameter(f"classifiers.imu-photo.{name}").detach() for name in ("form.weight", "bias"))

    def logit(i: int, j: int) -> float:
        return float((form @ (first[i] / first[i].norm())) @ (second[j] / second[j].norm()) + bias)

    here = [i for i in range(6) if PRESENT[i]]
    together = {(0, 1), (1, 2), (4, 5), (0, 4)}
    shifted = [(i, j) for i in here for j in here if i != j and (min(i, j), max(i, j)) not in together]
    of_aligned = sum(math.log1p(math.exp(-logit(i, i))) for i in here) / len(here)
    of_shifted = sum(math.log1p(math.exp(logit(i, j))) for i, j in shifted) / len(shifted)

    assert loss(found).terms["imu-photo"].item() == pytest.approx((of_aligned + of_shifted) / 2, rel=1e-9)


def test_who_cannot_tell_pays_a_bit_and_who_can_nothing() -> None:
    own = torch.eye(4, dtype=torch.bool)
    everybody = torch.ones(4, dtype=torch.bool)

    assert alignment_loss(torch.zeros(4, 4), everybody, ~own).item() == pytest.approx(math.log(2))
    assert alignment_loss(torch.where(own, 99.0, -99.0), everybody, ~own).item() == pytest.approx(0, abs=1e-12)
