import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.objectives.intra import IntraSample, nt_xent
from pipeline.objectives.repel import Entries
from pipeline.types import Embeddings
from tests.references import differing_loop, fixture_a, nt_xent_loop, overlap_loop


def entries(present: Sequence[bool], content: Sequence[int]) -> Entries:
    return Entries(torch.tensor(present), torch.tensor(content)[:, None])


def test_nt_xent_equals_published_value() -> None:
    first, second = fixture_a()

    loss = nt_xent(first, second, entries=entries([True] * 6, range(6)), temperature=0.5)

    assert abs(float(loss) - 2.26508827) < 1e-6


@settings(max_examples=40, deadline=None)
@given(
    present=st.lists(st.booleans(), min_size=6, max_size=6),
    content=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    temperature=st.floats(0.05, 2.0),
)
def test_nt_xent_equals_loop_with_absent_and_equal_samples(
    present: list[bool], content: list[int], temperature: float
) -> None:
    first, second = fixture_a()
    expected = nt_xent_loop(first, second, present, content, temperature)

    actual = nt_xent(first, second, entries=entries(present, content), temperature=temperature)

    assert float(actual) == pytest.approx(expected, abs=1e-9)


def test_absent_samples_get_no_gradient() -> None:
    first, second = (view.requires_grad_() for view in fixture_a())
    present = torch.tensor([True, True, False, True, False, True])

    nt_xent(first, second, entries=entries(present.tolist(), range(6)), temperature=0.2).backward()

    assert first.grad is not None
    assert first.grad[~present].abs().max() == 0
    assert first.grad[present].abs().min() > 0


@pytest.mark.fault("N06")
def test_overlapping_windows_do_not_repel_and_clusters_weigh_negatives() -> None:
    first, second = (torch.nn.functional.normalize(view, dim=1) for view in fixture_a())
    clusters = [[0, 0], [0, 1], [1, 1], [1, -1], [2, 2], [0, 0]]
    spans = [[1, 0, 10], [1, 5, 15], [1, 10, 20], [2, 0, 9], [2, -1, -1], [-1, -1, -1]]
    found = Embeddings(
        torch.arange(6),
        {"s": torch.stack([first, second])},
        {"s": torch.ones(6, dtype=torch.bool)},
        {"s": torch.arange(6)},
        clusters={"s": torch.tensor(clusters)},
        spans=torch.tensor(spans),
    )
    losses = []
    for anchors, others in ((first, second), (second, first)):
        for i in range(6):
            positive = math.exp(float(anchors[i] @ others[i]) / 0.5)
            repelled = 0.0
            for j in range(6):
                if i != j and not overlap_loop(spans[i], spans[j]):
                    both = math.exp(float(anchors[i] @ others[j]) / 0.5) + math.exp(
                        float(anchors[i] @ anchors[j]) / 0.5
                    )
                    repelled += differing_loop(clusters[i], clusters[j]) * both
            losses.append(math.log(1 + repelled / positive))

    config = IntraSample(temperature=0.5, false_negatives=True)
    actual = config.build(["s"])(found).total()

    assert config.needs == {"clusters"}
    assert float(actual) == pytest.approx(sum(losses) / len(losses), abs=1e-9)
