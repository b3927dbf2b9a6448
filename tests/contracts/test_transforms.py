"""What every transform of every kind of stream gets for free by being in its union."""

from pathlib import Path

import numpy as np
import pytest
import torch

from modalities.spec import Augment, Config
from tests.contracts.stream_examples import TRANSFORMS, batch_of, draws_for


def _always(transform: Config) -> Augment:
    update = {"chance": 1.0} if "chance" in type(transform).model_fields else {}
    return transform.model_copy(update=update)  # type: ignore[return-value]


@pytest.mark.parametrize(("kind", "config", "document"), TRANSFORMS)
def test_views_depend_on_their_draws_alone(
    kind: str, config: type[Config], document: dict[str, object], folders: dict[str, Path]
) -> None:
    transform, signal = _always(config(**document)), batch_of(kind, folders)
    torch.manual_seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002 - the global one must stay put
    first = transform(signal, draws_for(signal))
    after = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    torch.manual_seed(2)
    second = transform(signal, draws_for(signal))

    torch.testing.assert_close(second.values, first.values, rtol=0, atol=0)
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]


@pytest.mark.parametrize(("kind", "config", "document"), TRANSFORMS)
def test_views_keep_shape_presence_and_what_is_not_there(
    kind: str, config: type[Config], document: dict[str, object], folders: dict[str, Path]
) -> None:
    transform, signal = _always(config(**document)), batch_of(kind, folders)
    original = signal.values.clone(), None if signal.mask is None else signal.mask.clone()
    views = [transform(signal, draws_for(signal, view=view)) for view in range(4)]

    raw = signal.scaled().values
    assert any(not torch.equal(view.values, raw) for view in views), "nothing ever changes"
    torch.testing.assert_close(signal.values, original[0], rtol=0, atol=0)
    for view in views:
        assert view.values.shape == signal.values.shape
        assert view.values.dtype == raw.dtype
        assert view.values.isfinite().all()
        assert torch.equal(view.present, signal.present)
        assert view.values[2].abs().sum() == 0
        if signal.mask is not None:
            assert view.mask is not None
            assert torch.equal(signal.mask, original[1])
            assert view.values[~view.mask].abs().sum() == 0
            assert not view.mask[2].any()
            assert view.mask.flatten(1).any(dim=1)[signal.present].all(), "a sample lost all of itself"
    assert isinstance(transform.keeps_time, bool)
