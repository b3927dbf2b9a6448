import pytest
import torch

from pipeline.objectives.discriminator import Discriminator


@pytest.fixture
def discriminator() -> Discriminator:
    torch.manual_seed(0)
    found = Discriminator(3).double()
    torch.nn.init.normal_(found.hidden.bias)
    torch.nn.init.normal_(found.logit.bias)
    return found


@pytest.mark.parametrize("rows", [1, 5, 70])
def test_every_pair_has_the_logit_of_its_rows_beside_each_other(discriminator: Discriminator, rows: int) -> None:
    first, second = torch.randn(rows, 3).double(), 3 * torch.randn(4, 3).double()
    reference = torch.nn.Sequential(discriminator.hidden, torch.nn.ReLU(), discriminator.logit)

    logits = discriminator(first, second)

    expected = torch.stack([torch.cat([reference(torch.cat([a, b])) for b in second]) for a in first])
    torch.testing.assert_close(logits, expected)


def test_gradient_is_that_of_all_pairs_at_once(discriminator: Discriminator) -> None:
    first, second = torch.randn(40, 3).double().requires_grad_(), torch.randn(40, 3).double().requires_grad_()
    inputs = [first, second, *discriminator.parameters()]
    pairs = torch.cat([first[:, None].expand(-1, 40, -1), second[None].expand(40, -1, -1)], dim=2)
    reference = torch.nn.Sequential(discriminator.hidden, torch.nn.ReLU(), discriminator.logit)

    slopes = torch.autograd.grad(discriminator(first, second).square().sum(), inputs)

    torch.testing.assert_close(slopes, torch.autograd.grad(reference(pairs).square().sum(), inputs))


def test_starts_as_that_of_the_authors() -> None:
    torch.manual_seed(0)
    found = Discriminator(64)

    bounds = [(6 / (128 + 256)) ** 0.5, (6 / (256 + 1)) ** 0.5]  # of Glorot and Bengio (2010)

    weights = [found.hidden.weight, found.logit.weight]
    assert [float(weight.detach().abs().max()) for weight in weights] == pytest.approx(bounds, rel=0.05)
