import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from pipeline.heads.das import DAS, DenselyAnchored, scaled_and_shifted
from pipeline.heads.multi_similarity import MultiSimilarity
from pipeline.heads.spec import Target
from tests.head_fixtures import features_a, labels_a

LABELS = torch.tensor([0, 1, 0, 0, 2, 1])


class Recorder(torch.nn.Module):
    """A pair loss that keeps what it was given."""

    def forward(self, features: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        self.features, self.labels = features, labels
        return features.sum()


def anchored(config: DAS) -> tuple[DenselyAnchored, Recorder]:
    recorder = Recorder()
    return DenselyAnchored(recorder, config, Target(4, 3)).double(), recorder


def test_equals_published_value() -> None:
    unit = functional.normalize(features_a(), dim=1)
    e = torch.tensor([[0.1, 0.7, -0.2, 0.5]], dtype=torch.float64)
    scales = torch.tensor([[0.99, 1.01]], dtype=torch.float64)

    found = scaled_and_shifted(e, torch.tensor([[1, 3]]), scales, 0.01 * (unit[0] - unit[1])[None])

    assert found[0].tolist() == pytest.approx([0.1111226, 0.78690788, -0.22111926, 0.56527341], abs=1e-6)


def test_neither_scale_nor_shift_make_copies() -> None:
    das, recorder = anchored(DAS(scale_low=1.0, scale_high=1.0, shift=0.0, produced=2))

    das(features_a(), LABELS, torch.Generator())

    unit = functional.normalize(features_a(), dim=1)
    torch.testing.assert_close(recorder.features, unit.repeat(3, 1))
    assert recorder.labels.equal(LABELS.repeat(3))


def test_counts_and_differences_equal_loop_over_two_batches() -> None:
    das, _ = anchored(DAS(channels=2, bank=5))
    counts = torch.zeros(3, 4, dtype=torch.int64)
    banks: dict[int, list[torch.Tensor]] = {0: [], 1: [], 2: []}
    for batch in (features_a(), features_a().flip(0)):
        unit = functional.normalize(batch, dim=1)
        for i in range(6):
            for channel in unit[i].argsort(descending=True)[:2]:
                counts[LABELS[i], channel] += 1
        for i in range(6):
            for j in range(6):
                if i != j and LABELS[i] == LABELS[j]:
                    banks[int(LABELS[i])].append(unit[i] - unit[j])
        das(batch, LABELS, torch.Generator())

    assert das.frequency.equal(counts)
    assert das.filled.tolist() == [5, 4, 0]
    torch.testing.assert_close(das.bank[0], torch.stack(banks[0][-5:]))
    torch.testing.assert_close(das.bank[1, 1:], torch.stack(banks[1]))


def test_produced_rows_scale_the_channels_of_their_class_and_add_one_of_its_differences() -> None:
    das, recorder = anchored(DAS(channels=2, shift=0.3, scale_low=0.5, scale_high=2.0, produced=4))

    das(features_a(), LABELS, torch.Generator().manual_seed(0))

    unit = functional.normalize(features_a(), dim=1).repeat(4, 1)
    kept = set()
    for row, (e, label) in enumerate(zip(unit, LABELS.repeat(4), strict=True)):
        filled = int(das.filled[label])
        others = das.frequency[label].argsort(descending=True, stable=True)[2:]
        found = recorder.features[6 + row]
        fits = []
        for slot in range(10 - filled, 10) if filled else [None]:
            moved = e + (0 if slot is None else 0.3 * das.bank[label, slot])
            lengths = found[others] / moved[others]
            fits.append(bool(torch.isclose(lengths[0], lengths[1], rtol=1e-6)))
            if fits[-1]:
                kept.add((int(label), slot))
        assert any(fits)
    assert len(kept) > 4  # not always the same difference


def test_detached_rows_are_constants_and_others_are_not() -> None:
    slopes = []
    for detach in (True, False):
        das, _ = anchored(DAS(detach=detach, produced=1))
        x = features_a().requires_grad_()
        das(x, LABELS, torch.Generator().manual_seed(0)).backward()
        slopes.append(x.grad)
    x = features_a().requires_grad_()
    functional.normalize(x, dim=1).sum().backward()

    torch.testing.assert_close(slopes[0], x.grad)
    assert not torch.allclose(slopes[1], slopes[0])  # type: ignore[arg-type]


def test_memory_of_the_classes_is_in_the_checkpoint() -> None:
    config = DAS(base=MultiSimilarity(threshold=0.5), shift=0.5)
    first, second = (DenselyAnchored(config.base.pair_loss(Target(4, 3)), config, Target(4, 3)) for _ in range(2))
    first(features_a().float(), labels_a(), torch.Generator())
    fresh = second(features_a().flip(0).float(), LABELS, torch.Generator().manual_seed(0))

    second.load_state_dict(first.state_dict())
    expected = first(features_a().flip(0).float(), LABELS, torch.Generator().manual_seed(0))
    actual = second(features_a().flip(0).float(), LABELS, torch.Generator().manual_seed(0))

    assert actual.equal(expected)
    assert not fresh.equal(expected)


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValidationError, match="scale_low"):
        DAS(scale_low=1.1, scale_high=0.9)
