import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import normalized_mutual_info_score
from torchmetrics.functional.clustering import adjusted_mutual_info_score

from pipeline.evaluate import cluster_agreement
from pipeline.evaluate.cluster_agreement import (
    Agreement,
    SpaceSummary,
    finding,
    group_column,
    label_column,
    mutual_information,
    summarise,
)


def loop_nmi(a: Sequence[int], b: Sequence[int]) -> float:
    """Twice the mutual information over the sum of entropies, from counts."""
    n, both, left, right = len(a), Counter(zip(a, b, strict=True)), Counter(a), Counter(b)
    shared = sum(c / n * math.log(n * c / (left[i] * right[j])) for (i, j), c in both.items())
    entropy = -sum(c / n * math.log(c / n) for counts in (left, right) for c in counts.values())
    return 2 * shared / entropy if entropy else 0.0


def test_two_libraries_and_a_loop_agree() -> None:
    rng = np.random.default_rng(0)
    for clusters, values in ((3, 4), (12, 2), (5, 20)):
        a, b = rng.integers(0, clusters, 60), rng.integers(0, values, 60)
        b[:20] = a[:20] % values
        nmi, ami = mutual_information(a, b)
        assert nmi == pytest.approx(loop_nmi(a.tolist(), b.tolist()), abs=1e-6)
        assert nmi == pytest.approx(normalized_mutual_info_score(a, b), abs=1e-6)
        slow = adjusted_mutual_info_score(torch.from_numpy(a), torch.from_numpy(b))
        assert ami == pytest.approx(float(slow), abs=1e-4)


def test_many_values_raise_nmi_but_not_ami() -> None:
    rng = np.random.default_rng(0)
    nmi, ami = mutual_information(rng.integers(0, 8, 400), np.arange(400))

    assert nmi > 0.4
    assert ami == pytest.approx(0, abs=0.01)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=40), st.permutations(range(5)))
def test_the_numbers_of_clusters_mean_nothing(pairs: list[tuple[int, int]], renamed: list[int]) -> None:
    a, b = np.array(pairs).T
    nmi, ami = mutual_information(a, b)

    assert mutual_information(np.array(renamed)[a], b) == pytest.approx((nmi, ami), abs=1e-5)
    assert mutual_information(b, a) == pytest.approx((nmi, ami), abs=1e-5)
    assert 0 <= nmi <= 1


def test_one_part_shares_nothing() -> None:
    same, two = np.zeros(4, int), np.array([0, 1, 0, 1])

    assert mutual_information(same, two) == mutual_information(two, same) == mutual_information(same, same) == (0, 0)


def test_samples_without_cluster_or_value_do_not_count() -> None:
    clusters = np.array([0, 0, 1, 1, -1, 5, 1])
    label = label_column("activity", np.array([3, 3, 2, 2, 2, -1, 2]))
    group = group_column("device", np.array(["a", "b", "a", "", "c", "a", ""]))
    empty = group_column("session", np.full(7, ""))

    found = summarise("imu", clusters, [label, group, empty])

    assert (found.without, found.sizes, found.samples, found.max_share) == (1, (3, 2, 1), 6, 0.5)
    activity, device, session = found.agreements
    assert activity == Agreement("activity", "label", samples=5, values=2, nmi=1.0, ami=1.0)
    assert (device.samples, device.values, device.kind) == (4, 2, "group")
    assert device.nmi == pytest.approx(loop_nmi([0, 0, 1, 5], [0, 1, 0, 0]), abs=1e-6)
    assert session == Agreement("session", "group", 0, 0, None, None)
    assert found.metrics() == {
        "pseudo_labels/imu/clusters": 3,
        "pseudo_labels/imu/max_share": 0.5,
        "pseudo_labels/imu/activity/nmi": 1.0,
        "pseudo_labels/imu/activity/ami": 1.0,
        "pseudo_labels/imu/device/nmi": device.nmi,
        "pseudo_labels/imu/device/ami": device.ami,
    }


def test_many_samples_are_compared_by_a_fixed_draw_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    clusters = rng.integers(0, 4, 4000)
    label = label_column("activity", np.where(rng.random(4000) < 0.7, clusters, rng.integers(0, 4, 4000)))
    (every,) = summarise("imu", clusters, [label]).agreements
    monkeypatch.setattr(cluster_agreement, "MAX_ROWS", 1500)

    (drawn,) = summarise("imu", clusters, [label]).agreements

    assert (every.samples, drawn.samples) == (4000, 1500)
    assert drawn.ami == pytest.approx(every.ami, abs=0.05)
    assert drawn.ami != every.ami
    assert summarise("imu", clusters, [label]).agreements == (drawn,)


def summary(*, activity: float | None, **groups: float) -> SpaceSummary:
    columns = [] if activity is None else [Agreement("activity", "label", 9, 3, 0.9, activity)]
    columns += [Agreement(name, "group", 9, 3, 0.9, ami) for name, ami in groups.items()]
    return SpaceSummary("imu", 0, (5, 4), tuple(columns))


@pytest.mark.parametrize(
    ("strengths", "said", "is_warning"),
    [
        (
            {"activity": 0.31, "subject": 0.2, "device": 0.62},
            "follow device (AMI 0.62) more than the label activity (AMI 0.31).",
            True,
        ),
        (
            {"activity": 0.62, "subject": 0.2, "device": 0.31},
            "follow the label activity (AMI 0.62) more than any group (at most device, AMI 0.31).",
            False,
        ),
        ({"activity": 0.62}, "follow the label activity (AMI 0.62).", False),
        (
            {"activity": 0.32, "device": 0.31},
            "follow device (AMI 0.31) as much as the label activity (AMI 0.32).",
            True,
        ),
        (
            {"activity": 0.01, "device": 0.03},
            "follow neither the label activity (AMI 0.01) nor any group (at most device, AMI 0.03).",
            True,
        ),
        ({"activity": -0.01}, "follow neither the label activity (AMI -0.01) nor any group, as there is none.", True),
        ({"activity": None, "device": 0.4}, "follow device most (AMI 0.40); there is no label to compare with.", False),
        ({"activity": None, "device": 0.0}, "follow no recorded group; there is no label to compare with.", False),
    ],
)
def test_the_sentence_says_what_the_clusters_follow(strengths, said: str, is_warning: bool) -> None:
    label = None if strengths["activity"] is None else "activity"
    found = finding(summary(**strengths), label)

    assert (found.text, found.is_warning) == (f"Clusters of imu {said}", is_warning)


def test_another_label_is_not_the_label() -> None:
    found = finding(summary(activity=0.9, device=0.2), "posture")

    assert "there is no label to compare with" in found.text


def test_no_pseudo_label_at_all_is_a_warning() -> None:
    found = finding(summarise("imu", np.full(3, -1), [label_column("activity", np.arange(3))]), "activity")

    assert found.text == "Clusters of imu: no sample has a pseudo-label."
    assert found.is_warning


def test_what_is_followed_most_is_nothing_below_the_least() -> None:
    assert summary(activity=0.31, device=0.4).most == 0.4
    assert summary(activity=0.01, device=0.02).most is None
    assert SpaceSummary("imu", 0, (3,), ()).most is None
