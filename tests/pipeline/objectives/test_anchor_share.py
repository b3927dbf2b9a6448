import torch

from pipeline.objectives.anchor_share import anchor_share


def test_counts_present_anchors_over_all_masks() -> None:
    present, positive = torch.tensor([True, True, False]), torch.tensor([True, False, True])

    assert anchor_share([(present, positive), (~present, positive)]) == {"frac_anchors_with_pos": 2 / 3}
    assert anchor_share([(torch.zeros(3, dtype=torch.bool), positive)]) == {}
    assert anchor_share([]) == {}
