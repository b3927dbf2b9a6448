"""What every member of the union of objectives gets for free. A new member is tested by being in the union."""

import json
from dataclasses import replace
from typing import get_args

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from pipeline.objectives.catalogue import AnyObjective
from pipeline.objectives.spec import Family, Objective, ObjectiveConfig
from pipeline.types import Embeddings
from tests.contracts.objective_examples import (
    BATCH,
    DEFAULTS,
    MOMENTS,
    STREAMS,
    VARIANTS,
    built,
    embeddings,
    inputs_of,
    own_parameters,
    permuted,
)

EXAMPLES = DEFAULTS + VARIANTS


def total(config: ObjectiveConfig, found: Embeddings) -> Tensor:
    return built(config, found)(found).total()


def learned(config: ObjectiveConfig, found: Embeddings) -> Objective:
    """The objective after its own parameters, if it has any, have been fitted to these embeddings."""
    loss = built(config, found)
    if own := own_parameters(loss):
        optimizer = torch.optim.Adam(own, lr=3e-2)
        for _ in range(60):
            optimizer.zero_grad()
            loss(found).total().backward()
            optimizer.step()
    return loss


def name_of(config: ObjectiveConfig) -> str:
    changed = config.model_dump(exclude_defaults=True, exclude={"relation", "projection"})
    return "-".join([type(config).__name__, *(f"{key}={value}" for key, value in changed.items())])


@pytest.fixture(params=EXAMPLES, ids=name_of)
def config(request: pytest.FixtureRequest) -> ObjectiveConfig:
    return request.param


def test_loss_is_finite_and_its_gradient_reaches_every_stream(config: ObjectiveConfig) -> None:
    found = embeddings(config)

    loss = total(config, found)
    loss.backward()

    assert loss.isfinite()
    for tensor in inputs_of(found, config).values():
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() > 0


def test_gradient_reaches_everything_the_objective_learns_itself(config: ObjectiveConfig) -> None:
    found = embeddings(config)
    loss = built(config, found)

    loss(found).total().backward()

    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in own_parameters(loss))


def test_as_few_streams_as_it_allows_are_enough(config: ObjectiveConfig) -> None:
    terms = config.build(STREAMS[: config.least_streams])(embeddings(config, dtype=torch.float32)).terms

    assert all(value.item() != 0 for value in terms.values())
    assert terms


def test_the_order_of_the_batch_does_not_matter(config: ObjectiveConfig) -> None:
    found = embeddings(config, absent=True)
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(1))
    shuffled = permuted(found, order)

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


@pytest.mark.fault("N14")
def test_a_batch_without_anybody_is_a_zero_with_a_graph(config: ObjectiveConfig) -> None:
    found = embeddings(config)
    for mask in found.present.values():
        mask[:] = False

    loss = total(config, found)
    loss.backward()

    assert loss.item() == 0.0
    assert all(z.grad is None or z.grad.abs().max() == 0 for z in inputs_of(found, config).values())


def test_no_gradient_reaches_the_memory(config: ObjectiveConfig) -> None:
    found = embeddings(config)
    kept = [rows.requires_grad_() for m in found.mined.values() for rows in (m.positive, m.candidates)]
    kept += [rows.requires_grad_() for keys in found.keys.values() for rows in (keys.keys, keys.queue)]

    total(config, found).backward()

    assert all(rows.grad is None for rows in kept)


def test_objective_asks_for_what_it_uses_and_waits_while_the_memory_has_nothing(config: ObjectiveConfig) -> None:
    found = embeddings(config)
    bare = replace(found, mined={}, keys={}, clusters={}, links=None)
    only = replace(
        bare,
        mined=found.mined if "mined" in config.needs else {},
        keys=found.keys if "keys" in config.needs else {},
        clusters=found.clusters if "clusters" in config.needs else {},
        links=found.links if "links" in config.needs else None,
    )
    active = not config.needs & {"mined", "keys", "links"}

    torch.testing.assert_close(total(config, only), total(config, found), rtol=0, atol=0)
    assert bool(built(config, bare)(bare).terms) == active


def test_matching_views_score_better_than_mismatched_ones(config: ObjectiveConfig) -> None:
    found = embeddings(config)
    inputs = inputs_of(found, config)
    pattern = next(iter(inputs.values())).detach()[:1] * 3
    if "links" in config.needs:
        pattern = pattern[:, torch.arange(BATCH) // 2 * 2]
    with torch.no_grad():
        for z in inputs.values():
            if config.reads != "transforms":  # their views differ by what made them
                z.copy_(pattern.expand_as(z))
    loss = learned(config, found)
    matched = loss(found).total()
    with torch.no_grad():
        for number, z in enumerate(inputs.values()):
            z[1:] = z[1:].roll(1, dims=1)
            z.copy_(z.roll(1, dims=0) if config.reads == "transforms" else z.roll(number, dims=1))
            if config.reads == "moments":  # what compares no views compares the past with the future
                z[:, :, MOMENTS // 2 :] = z[:, :, MOMENTS // 2 :].roll(1, dims=1)

    assert matched < loss(found).total()


def test_bfloat16_embeddings_give_nearly_the_float32_loss(config: ObjectiveConfig) -> None:
    expected = total(config, embeddings(config, dtype=torch.float32))

    actual = total(config, embeddings(config, dtype=torch.bfloat16))

    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, expected, rtol=0.05, atol=0.05)


def test_autocast_does_not_lower_the_precision_of_a_loss(config: ObjectiveConfig) -> None:
    expected = total(config, embeddings(config, dtype=torch.float32))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = total(config, embeddings(config, dtype=torch.float32))

    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_config_survives_json_and_documents_itself(config: ObjectiveConfig) -> None:
    adapter: TypeAdapter[ObjectiveConfig] = TypeAdapter(AnyObjective)

    assert adapter.validate_json(config.model_dump_json()) == config
    assert adapter.validate_python(json.loads(config.model_dump_json())) == config
    assert type(config).family in get_args(Family)
    assert "arXiv" in (type(config).__doc__ or "").replace("arxiv", "arXiv")
    for name, info in type(config).model_fields.items():
        assert info.description, f"{type(config).__name__}.{name} has no docstring"
