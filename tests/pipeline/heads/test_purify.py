import math

import torch

from pipeline.heads.purify import purify


def cosines_of(degrees: list[list[list[float]]]) -> torch.Tensor:
    return torch.cos(torch.deg2rad(torch.tensor(degrees, dtype=torch.float64)))


def test_reports_samples_far_from_the_sub_center_most_of_their_class_is_nearest_to() -> None:
    far_class = [90.0, 90.0]
    cosines = cosines_of(
        [
            [[10, 60], far_class, far_class],
            [[20, 80], far_class, far_class],
            [[80, 5], far_class, far_class],  # lies well at the sub-centre that few share
            [far_class, [40, 30], far_class],
            [far_class, [100, 74], far_class],
        ]
    )

    found = purify(cosines, torch.tensor([0, 0, 0, 1, 1]))

    assert found.dominant.tolist() == [0, 1, -1]
    torch.testing.assert_close(found.degrees, torch.tensor([10.0, 20, 80, 30, 74], dtype=torch.float64))
    assert found.far.tolist() == [False, False, True, False, False]
    assert purify(cosines, torch.tensor([0, 0, 0, 1, 1]), limit_degrees=25).far.tolist() == [False, False, *[True] * 3]


def test_rounding_beyond_one_is_no_angle_of_its_own() -> None:
    found = purify(torch.tensor([[[1 + 1e-6]]]), torch.tensor([0]))

    assert math.isclose(float(found.degrees), 0.0)
