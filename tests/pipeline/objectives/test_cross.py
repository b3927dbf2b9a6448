import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.objectives.cross import CrossModal, symmetric_info_nce
from pipeline.objectives.info_nce import distinct
from pipeline.types import Embeddings
from tests.references import fixture_a, symmetric_info_nce_loop


def test_symmetric_form_equals_published_value() -> None:
    first, second = fixture_a()
    everyone = torch.ones(6, dtype=torch.bool)

    loss = symmetric_info_nce(first, second, paired=everyone, negatives=torch.ones(6, 6, dtype=torch.bool), temperature=0.07)

    assert abs(float(loss) - 3.50652236) < 1e-6


@settings(max_examples=40, deadline=None)
@given(
    paired=st.lists(st.booleans(), min_size=6, max_size=6),
    content=st.lists(st.integers(0, 3), min_size=6, max_size=6),
)
def test_equals_loop_with_unpaired_and_equal_samples(paired: list[bool], content: list[int]) -> None:
    first, second = fixture_a()
    expected = symmetric_info_nce_loop(first, second, paired, content, 0.1)

    actual = symmetric_info_nce(
        first, second, paired=torch.tensor(paired), negatives=distinct(torch.tensor(content)), temperature=0.1
    )

    assert float(actual) == pytest.approx(expected, abs=1e-9)


def test_three_streams_give_three_pairs_and_a_lonely_stream_none() -> None:
    first, second = fixture_a()
    views = {"a": first[None], "b": second[None], "c": torch.stack([first, second])}
    present = {"a": torch.ones(6, dtype=torch.bool), "b": torch.zeros(6, dtype=torch.bool), "c": torch.ones(6, dtype=torch.bool)}
    content = {name: torch.arange(6) for name in views}
    loss = CrossModal(temperature=0.1).build(["a", "b", "c"])

    terms = loss(Embeddings(torch.arange(6), views, present, content)).terms

    assert set(terms) == {"a-b", "a-c", "b-c"}
    assert float(terms["a-b"]) == 0.0
    assert float(terms["a-c"]) > 0.0
