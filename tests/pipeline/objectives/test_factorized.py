import pytest
import torch
from pydantic import ValidationError

from pipeline.objectives.factorized import Factorized
from pipeline.objectives.spec import Projection
from pipeline.types import Embeddings
from tests.references import cosine, fixture_a, nt_xent_loop, symmetric_info_nce_loop

PRESENT = {"s": [True, True, False, True, True, True], "t": [True, True, True, True, False, True]}


def test_each_term_equals_its_loop() -> None:
    first, second = fixture_a()
    views = {"s": torch.stack([first, second]), "t": torch.stack([second + 0.3, torch.tanh(first)])}
    idx = torch.arange(6)
    found = Embeddings(
        idx, views, {name: torch.tensor(here) for name, here in PRESENT.items()}, dict.fromkeys(views, idx)
    )
    config = Factorized(private=0.5, apart=3.0, temperature=0.2, projection=Projection(dim=4))
    both = [a and b for a, b in zip(PRESENT["s"], PRESENT["t"], strict=True)]
    shared, private = ({name: z[:, :, half] for name, z in views.items()} for half in (slice(0, 2), slice(2, 4)))
    attract = [
        symmetric_info_nce_loop(shared["s"][view], shared["t"][view], both, list(range(6)), 0.2) for view in range(2)
    ]
    own = [nt_xent_loop(private[name][0], private[name][1], PRESENT[name], list(range(6)), 0.2) for name in views]
    sides = [(shared[name], private[name], PRESENT[name]) for name in views] + [(private["s"], private["t"], both)]
    apart = []
    for a, b, here in sides:
        for view in range(2):
            cosines = [max(0.0, cosine(a[view, i], b[view, i])) for i in range(6) if here[i]]
            apart.append(sum(cosines) / len(cosines))

    terms = config.build(["s", "t"])(found).terms

    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {"shared": sum(attract) / 2, "private": 0.5 * sum(own) / 2, "apart": 3 * sum(apart) / 6}, abs=1e-9
    )


@pytest.mark.parametrize("dim", [2, 5])
def test_an_embedding_without_two_halves_is_refused(dim: int) -> None:
    with pytest.raises(ValidationError, match="even"):
        Factorized(projection=Projection(dim=dim))
