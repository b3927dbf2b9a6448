"""Events in time, against a loop over windows, positions and classes."""

import math

import pytest
import torch
from torch import Tensor

from pipeline.heads.dual_prototypical import DualPrototypical, class_agnostic, class_specific
from pipeline.heads.event_prototypes import episode_of, events_of
from pipeline.heads.spec import Head, Steps, Supervised, Target
from tests.contracts.head_examples import class_loss
from tests.references import cosine

TAU, CLASSES, WIDTH = 0.1, 4, 3
PHASES = torch.tensor(
    [
        [0, 0, 1, 1, -1],
        [1, 1, 1, 0, 2],
        [2, -1, 2, 2, 2],  # nothing but one event
        [0, 1, -1, -1, 1],
        [-1, -1, -1, -1, -1],
        [3, 3, 0, 1, 1],  # 3 is in no other window
    ]
)


def sequences() -> Tensor:
    rows, steps, columns = (torch.arange(n, dtype=torch.float64) for n in (6, 5, WIDTH))
    return torch.sin(
        1 + 0.7 * rows[:, None, None] + 1.9 * steps[:, None] + 1.3 * columns + 0.4 * steps[:, None] * columns
    )


def mean(rows: list[Tensor]) -> Tensor:
    return torch.stack(rows).mean(dim=0)


def pools(window: int, phase: int) -> tuple[Tensor | None, Tensor | None]:
    """Means over the steps of a phase and of the other known phases; None where there are no such steps."""
    x, phases = sequences()[window], PHASES[window].tolist()
    own = [x[t] for t in range(5) if phases[t] == phase]
    rest = [x[t] for t in range(5) if phases[t] not in (-1, phase)]
    return mean(own) if own else None, mean(rest) if rest else None


def episode_loop(queries: list[int]) -> list[float]:
    losses = []
    for window in queries:
        for phase in range(CLASSES):
            query, rest = pools(window, phase)
            shots = [pools(other, phase) for other in range(6) if other not in queries]
            shots = [shot for shot in shots if shot[0] is not None]
            if query is None or not shots:
                continue
            support = mean([shot[0] for shot in shots if shot[0] is not None])
            rests = [shot[1] for shot in shots if shot[1] is not None]
            backgrounds = ([mean(rests)] if rests else []) + ([] if rest is None else [rest])
            positive = math.exp(cosine(query, support) / TAU)
            negatives = sum(math.exp(cosine(query, background) / TAU) for background in backgrounds)
            losses.append(-math.log(positive / (positive + negatives)))
    return losses


def prototypes_of(windows: range) -> tuple[Tensor, Tensor]:
    found = [(pools(window, phase)[0], phase) for window in windows for phase in range(CLASSES)]
    kept = [(prototype, phase) for prototype, phase in found if prototype is not None]
    return torch.stack([prototype for prototype, _ in kept]), torch.tensor([phase for _, phase in kept])


def built(**settings: object) -> Head:
    config = DualPrototypical.model_validate({"step_label": "phase", "entries": 3, **settings})
    head = config.build(Target(8, 2, steps=Target(WIDTH, CLASSES)), class_loss)
    return Head(head.classifier.double(), head.criterion.double())


def batch(steps: Steps) -> Supervised:
    count = len(steps.features)
    logits, labels = torch.zeros(count, 2, dtype=torch.float64), torch.arange(count) % 2
    return Supervised(logits, labels, torch.arange(count), 0, torch.Generator(), (torch.zeros(count, 8),), steps=steps)


@pytest.mark.parametrize("queries", [[0, 2, 4], [1, 3, 5], [0, 1, 2], [5], []])
def test_episodes_equal_loop_over_windows_and_phases(queries: list[int]) -> None:
    is_query = torch.zeros(6, dtype=torch.bool)
    is_query[queries] = True

    losses = class_agnostic(*episode_of(events_of(Steps(sequences(), PHASES), CLASSES), is_query), temperature=TAU)

    assert losses.tolist() == pytest.approx(episode_loop(queries), abs=1e-9)


def test_unknown_steps_are_neither_event_nor_background() -> None:
    changed = torch.where(PHASES[:, :, None] < 0, 1e3, sequences())

    expected, found = (events_of(Steps(x, PHASES), CLASSES) for x in (sequences(), changed))

    assert found.foreground.equal(expected.foreground)
    assert found.background.equal(expected.background)


def test_terms_of_two_batches_and_what_the_dictionary_keeps() -> None:
    head = built(specific=2.0, agnostic=0.5)
    steps = Steps(sequences(), PHASES)
    episodes = episode_loop([0, 2, 4]) + episode_loop([1, 3, 5])

    first, second = head.loss(batch(steps)).terms, head.loss(batch(steps)).terms

    for terms in (first, second):
        assert terms["class_agnostic"].item() == pytest.approx(0.5 * sum(episodes) / len(episodes), abs=1e-9)
    assert first["class_specific"].item() == 0.0, "nothing is kept yet"
    prototypes, phases = prototypes_of(range(6))
    dictionary, filled = torch.zeros(CLASSES, 3, WIDTH, dtype=torch.float64), torch.zeros(CLASSES, dtype=torch.int64)
    for phase in range(CLASSES):
        own = prototypes[phases == phase][-3:]
        dictionary[phase, 3 - len(own) :], filled[phase] = own, len(own)
    expected = class_specific(prototypes, phases, dictionary, filled, temperature=TAU).mean()
    assert second["class_specific"].item() == pytest.approx(2 * expected.item(), abs=1e-9)


def test_order_of_the_batch_decides_neither_episodes_nor_what_is_kept() -> None:
    head, shuffled = built(), built()
    given, order = batch(Steps(sequences(), PHASES)), torch.tensor([3, 0, 5, 1, 4, 2])
    changed = Supervised(
        given.logits,
        given.labels[order],
        given.idx[order],
        0,
        given.generator,
        given.features,
        steps=Steps(sequences()[order], PHASES[order]),
    )

    terms, of_changed = (made.loss(what).terms for made, what in ((head, given), (shuffled, changed)))

    torch.testing.assert_close(of_changed, terms)
    torch.testing.assert_close(shuffled.criterion.state_dict(), head.criterion.state_dict())


def test_no_labelled_step_is_a_zero_and_kept_prototypes_are_constants() -> None:
    head, x = built(agnostic=0.0), sequences().requires_grad_()
    nothing = head.loss(batch(Steps(x, PHASES * 0 - 1))).terms
    head.loss(batch(Steps(x, PHASES)))

    later = head.loss(batch(Steps(sequences(), PHASES))).terms["class_specific"]

    assert nothing["class_specific"].item() == nothing["class_agnostic"].item() == 0.0
    assert not later.requires_grad
    assert later > 0
