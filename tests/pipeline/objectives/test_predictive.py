import pytest
import torch
from torch import Tensor

from pipeline.objectives.predictive import Predictive, PredictiveLoss, prediction_error
from pipeline.objectives.predictor import Predictor
from pipeline.objectives.spec import Projection
from pipeline.types import Embeddings, Keys
from tests.references import cosine, fixture_a, standard_scores_loop

HEAD = Projection(dim=4)
EVERYBODY = torch.ones(6, dtype=torch.bool)


def embeddings(views: dict[str, Tensor], **known: dict[str, Keys]) -> Embeddings:
    idx = torch.arange(6)
    return Embeddings(idx, views, dict.fromkeys(views, EVERYBODY), dict.fromkeys(views, idx), **known)  # type: ignore[arg-type]


def test_a_right_prediction_costs_nothing_and_its_target_gets_no_gradient() -> None:
    z, _ = fixture_a()
    target = z.clone().requires_grad_()

    loss = prediction_error(z.requires_grad_(), target, EVERYBODY)
    loss.backward()

    assert loss.item() == pytest.approx(0.0, abs=1e-12)
    assert target.grad is None


def predictor_loop(predictor: Predictor, z: Tensor, rows: list[int]) -> Tensor:
    """Row by row, normalised with the mean and variance of the rows that are there."""
    hidden = torch.stack([predictor.narrow.weight @ z[i] for i in rows])
    scores = (hidden - hidden.mean(dim=0)) / (hidden.var(dim=0, unbiased=False) + 1e-5).sqrt()
    bent = (scores * predictor.scale + predictor.shift).clamp(min=0)
    return torch.stack([predictor.widen.weight @ row + predictor.widen.bias for row in bent])


@pytest.mark.parametrize("standardize", [False, True])
def test_both_directions_are_predicted_by_one_predictor_over_the_present_samples(standardize: bool) -> None:
    first, second = fixture_a()
    rows, present = [0, 1, 3, 5], torch.zeros(6, dtype=torch.bool)
    present[rows] = True
    found = Embeddings(torch.arange(6), {"s": torch.stack([first, second])}, {"s": present}, {"s": torch.arange(6)})
    loss = Predictive(projection=HEAD, hidden=7, standardize=standardize).build(["s"]).double()
    if standardize:
        first, second = (standard_scores_loop(z, rows) for z in (first, second))
    predictor = loss.predictors["s>s"]
    assert isinstance(predictor, Predictor)
    errors = []
    for z, target in ((first, second), (second, first)):
        predicted = predictor_loop(predictor, z, rows)
        errors += [2 - 2 * cosine(predicted[k], target[i]) for k, i in enumerate(rows)]

    assert loss(found).total().item() == pytest.approx(sum(errors) / len(errors), abs=1e-9)


def test_keys_are_of_the_last_view_and_guessed_from_the_others() -> None:
    first, second = fixture_a()
    views = torch.stack([first, second]).requires_grad_()
    loss = Predictive(projection=HEAD, target="key").build(["s"]).double()
    loss(embeddings({"s": views}, keys={"s": Keys(second, second[:0])})).total().backward()

    assert views.grad is not None
    assert views.grad[0].abs().sum() > 0
    assert views.grad[1].abs().max() == 0


@pytest.mark.parametrize("target", ["view", "key"])
def test_every_stream_is_guessed_from_every_other(target: str) -> None:
    first, second = fixture_a()
    views = {"a": first[None], "b": second[None], "c": (first + second)[None]}
    keys = {name: Keys(z[0], z[0, :0]) for name, z in views.items()}
    config = Predictive(projection=HEAD, across="streams", target=target, standardize=False)  # type: ignore[arg-type]
    loss = config.build(list(views)).double()
    assert isinstance(loss, PredictiveLoss)
    assert set(loss.predictors) == {"a>b", "b>a", "a>c", "c>a", "b>c", "c>b"}

    terms = loss(embeddings(views, keys=keys)).terms

    assert set(terms) == {"a-b", "a-c", "b-c"}
    for name, term in terms.items():
        a, b = name.split("-")
        errors = [
            prediction_error(loss.predictors[f"{of}>{at}"](views[of][0], EVERYBODY), views[at][0], EVERYBODY)
            for of, at in ((a, b), (b, a))
        ]
        torch.testing.assert_close(term, torch.stack(errors).mean())
