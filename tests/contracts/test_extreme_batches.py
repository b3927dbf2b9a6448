"""Every objective on the smallest and oddest batches: the loss is finite, or the configuration is refused."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modalities.spec import Config
from pipeline.config import build_config
from pipeline.errors import Problems
from pipeline.objectives.catalogue import AnyObjective
from pipeline.objectives.spec import ObjectiveConfig
from pipeline.types import Embeddings
from tests.contracts.objective_examples import BATCH, DEFAULTS, VARIANTS, built, embeddings, inputs_of, permuted


class _Recipe(Config):
    """The part of a recipe that holds objectives."""

    objectives: tuple[AnyObjective, ...]


LABELS = {
    "all the same": lambda rows: torch.zeros_like(rows),
    "all different": lambda rows: rows,
    "none": lambda rows: torch.full_like(rows, -1),
    "pairs": lambda rows: rows // 2,
}


def _batch(config: ObjectiveConfig, size: int, labels: str, *, equal: bool) -> Embeddings:
    """The first samples of the example batch with other pseudo-labels; equal: one embedding for all."""
    found = permuted(embeddings(config, dtype=torch.float32), torch.arange(size))

    def leaf(z: Tensor) -> Tensor:
        return (z[:, :1].expand_as(z) if equal else z).detach().clone().requires_grad_()

    found = replace(
        found,
        views={name: leaf(z) for name, z in found.views.items()},
        moments={name: leaf(z) for name, z in found.moments.items()},
    )
    numbers = LABELS[labels](torch.arange(size))
    example = {name: replace(m, num_clusters=BATCH) for name, m in found.mined.items()}  # "all different" has as many
    mined = {
        name: replace(m, labels=numbers, has_positive=m.has_positive & (numbers >= 0), different=m.different & False)
        if labels in ("all the same", "none")
        else replace(m, labels=numbers)
        for name, m in example.items()
    }
    return replace(found, mined=mined, clusters={s: torch.stack([numbers, numbers], dim=1) for s in found.clusters})


def _least_temperature(config: ObjectiveConfig) -> float:
    return float(type(config).model_json_schema()["properties"]["temperature"]["minimum"])


@pytest.mark.fault("N08")
@settings(max_examples=150, deadline=None)
@given(
    config=st.sampled_from(DEFAULTS + VARIANTS),
    temperature=st.one_of(st.sampled_from([0.0, 1e-9, 0.01, 0.05, 1e9, -1.0]), st.floats(0.0, 2.0)),
    size=st.integers(1, BATCH),
    labels=st.sampled_from(sorted(LABELS)),
    equal=st.booleans(),
)
def test_a_loss_is_finite_or_its_temperature_is_refused(
    config: ObjectiveConfig, temperature: float, size: int, labels: str, equal: bool
) -> None:
    document = config.model_dump(mode="json")
    if "temperature" in document:
        document["temperature"] = temperature
    if "temperature" in document and temperature < _least_temperature(config):
        with pytest.raises(Problems) as caught:
            build_config(_Recipe, {"objectives": [document]})
        assert caught.value.exit_code == 64
        assert [problem.field for problem in caught.value.problems] == ["objectives.0.temperature"]
        return
    chosen = build_config(_Recipe, {"objectives": [document]}).objectives[0]
    found = _batch(chosen, size, labels, equal=equal)

    loss = built(chosen, found)(found).total()
    loss.backward()

    assert loss.isfinite()
    for z in inputs_of(found, chosen).values():
        assert z.grad is None or z.grad.isfinite().all()
