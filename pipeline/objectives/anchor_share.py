"""How many anchors an objective teaches anything: the figure to watch where positives have to be found."""

from collections.abc import Iterable

from torch import Tensor


def anchor_share(found: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Share of present anchors that have a positive, over all pairs of (B,) bool masks: present, has a positive.

    Nothing where no anchor is present.
    """
    with_positive = anchors = 0
    for present, has_positive in found:
        with_positive += int((present & has_positive).sum())
        anchors += int(present.sum())
    return {"frac_anchors_with_pos": with_positive / anchors} if anchors else {}
