"""What every member of the union of objectives gets for free. A new member is tested by being in the union."""

from typing import get_args

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from pipeline.objectives.catalogue import AnyObjective
from pipeline.objectives.spec import ObjectiveConfig
from pipeline.types import Embeddings

MEMBERS: list[type[ObjectiveConfig]] = list(get_args(get_args(AnyObjective)[0]))
STREAMS = ("imu", "photo", "note")
BATCH, MOMENTS, DIM = 8, 6, 5


def embeddings(config: ObjectiveConfig, *, dtype: torch.dtype = torch.float64, absent: bool = False) -> Embeddings:
    generator = torch.Generator().manual_seed(3)
    views = max(2, config.num_views)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    present = {name: torch.ones(BATCH, dtype=torch.bool) for name in STREAMS}
    if absent:
        for offset, name in enumerate(STREAMS):
            present[name][offset::3] = False
    return Embeddings(
        idx=torch.arange(BATCH),
        views={name: draw(views, BATCH, DIM) for name in STREAMS},
        moments={name: draw(views, BATCH, MOMENTS, DIM) for name in STREAMS},
        moments_mask={name: torch.ones(BATCH, MOMENTS, dtype=torch.bool) for name in STREAMS},
        present=present,
        content={name: torch.arange(BATCH) for name in STREAMS},
    )


def inputs_of(found: Embeddings, config: ObjectiveConfig) -> dict[str, Tensor]:
    return found.views if config.reads == "pooled" else found.moments


def total(config: ObjectiveConfig, found: Embeddings) -> Tensor:
    return config.build(STREAMS)(found).total()


@pytest.fixture(params=MEMBERS, ids=lambda member: member.__name__)
def config(request: pytest.FixtureRequest) -> ObjectiveConfig:
    return request.param()


def test_loss_is_finite_and_its_gradient_reaches_every_stream(config: ObjectiveConfig) -> None:
    found = embeddings(config)

    loss = total(config, found)
    loss.backward()

    assert loss.isfinite()
    for tensor in inputs_of(found, config).values():
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() > 0


def test_the_order_of_the_batch_does_not_matter(config: ObjectiveConfig) -> None:
    found = embeddings(config, absent=True)
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(1))
    shuffled = Embeddings(
        idx=found.idx[order],
        views={name: z[:, order] for name, z in found.views.items()},
        moments={name: z[:, order] for name, z in found.moments.items()},
        moments_mask={name: mask[order] for name, mask in found.moments_mask.items()},
        present={name: mask[order] for name, mask in found.present.items()},
        content={name: content[order] for name, content in found.content.items()},
    )

    torch.testing.assert_close(total(config, shuffled), total(config, found), rtol=1e-10, atol=1e-10)


def test_absent_samples_neither_count_nor_get_gradients(config: ObjectiveConfig) -> None:
    found = embeddings(config, absent=True)
    loss = total(config, found)
    loss.backward()

    for name, tensor in inputs_of(found, config).items():
        assert tensor.grad is not None
        assert tensor.grad[:, ~found.present[name]].abs().max() == 0
        with torch.no_grad():
            tensor[:, ~found.present[name]] = 1e3
    torch.testing.assert_close(total(config, found), loss)


def test_a_batch_without_anybody_is_a_zero_with_a_graph(config: ObjectiveConfig) -> None:
    found = embeddings(config)
    for mask in found.present.values():
        mask[:] = False

    loss = total(config, found)
    loss.backward()

    assert float(loss) == 0.0


def test_matching_views_score_better_than_mismatched_ones(config: ObjectiveConfig) -> None:
    found = embeddings(config)
    inputs = inputs_of(found, config)
    pattern = next(iter(inputs.values())).detach()[:1] * 3
    with torch.no_grad():
        for z in inputs.values():
            z.copy_(pattern.expand_as(z))
    matched = total(config, found)
    with torch.no_grad():
        for number, z in enumerate(inputs.values()):
            z[1:] = z[1:].roll(1, dims=1)
            z.copy_(z.roll(number, dims=1))

    assert matched < total(config, found)


def test_bfloat16_embeddings_give_nearly_the_float32_loss(config: ObjectiveConfig) -> None:
    expected = total(config, embeddings(config, dtype=torch.float32))

    actual = total(config, embeddings(config, dtype=torch.bfloat16))

    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, expected, rtol=0.05, atol=0.05)


def test_config_survives_json_and_documents_itself(config: ObjectiveConfig) -> None:
    adapter: TypeAdapter[ObjectiveConfig] = TypeAdapter(AnyObjective)

    assert adapter.validate_json(config.model_dump_json()) == config
    assert "arXiv" in (type(config).__doc__ or "").replace("arxiv", "arXiv")
    for name, info in type(config).model_fields.items():
        assert info.description, f"{type(config).__name__}.{name} has no docstring"
