"""What every member of the union of heads gets for free. A new member is tested by being in the union."""

import json
from dataclasses import replace

import pytest
import torch
from pydantic import TypeAdapter

from pipeline.heads.catalogue import AnyHead
from pipeline.heads.spec import HeadConfig
from tests.contracts.head_examples import (
    BATCH,
    CLASSES,
    DEFAULTS,
    VARIANTS,
    Example,
    batch_of,
    build,
    example,
    loss_of,
    total,
)


def name_of(config: HeadConfig) -> str:
    changed = config.model_dump(exclude_defaults=True)
    return "-".join([type(config).__name__, *(f"{key}={value}" for key, value in changed.items())])


@pytest.fixture(params=DEFAULTS + VARIANTS, ids=name_of)
def config(request: pytest.FixtureRequest) -> HeadConfig:
    return request.param


def gradient(config: HeadConfig, given: Example) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss, and its gradient to the features of every view the head reads."""
    features = given.features.clone().requires_grad_()
    loss = loss_of(config, replace(given, features=features))
    loss.backward()
    assert features.grad is not None
    return loss, features.grad[: config.num_views]


def test_loss_is_finite_and_its_gradient_reaches_every_feature(config: HeadConfig) -> None:
    loss, slopes = gradient(config, example())

    assert loss.isfinite()
    assert slopes.isfinite().all()
    assert (slopes.abs().sum(dim=2) > 0).all()


def test_every_parameter_is_trained(config: HeadConfig) -> None:
    head = build(config)

    total(head.loss(batch_of(head, config, example()))).backward()

    for module in (head.classifier, head.criterion):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().sum() > 0, name


def test_the_order_of_the_batch_does_not_matter(config: HeadConfig) -> None:
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(1))

    shuffled = loss_of(config, example().select(order))

    torch.testing.assert_close(shuffled, loss_of(config, example()), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rows", [[0], [0, 1], [0, 3, 6], [0, 3], [0, 1, 2, 8]])
def test_batches_without_pairs_of_some_kind_are_finite(config: HeadConfig, rows: list[int]) -> None:
    """One sample, one class, every class with one sample: each set of pairs is empty in one of them."""
    loss, slopes = gradient(config, example().select(torch.tensor(rows)))

    assert loss.isfinite()
    assert slopes.isfinite().all()


def test_equal_features_and_features_of_nothing_are_finite(config: HeadConfig) -> None:
    given = example()
    equal = replace(given, features=given.features[:, :1].expand_as(given.features))

    for features in (equal.features, torch.zeros_like(given.features)):
        loss, slopes = gradient(config, replace(given, features=features))
        assert loss.isfinite()
        assert slopes.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_feature_on_its_class_weight_has_a_finite_gradient(config: HeadConfig, dtype: torch.dtype) -> None:
    given = example(dtype=dtype)
    head = build(config, dtype=dtype)
    weight = [p for p in head.classifier.parameters() if p.ndim == 2][-1].detach()
    nearest = weight.reshape(CLASSES, -1, weight.shape[1])[given.labels, 0]
    _, slopes = gradient(config, replace(given, features=nearest.expand_as(given.features)))

    assert slopes.isfinite().all()


def test_bfloat16_gives_nearly_the_float32_loss(config: HeadConfig) -> None:
    head = build(config, dtype=torch.float32)
    batch = batch_of(head, config, example(dtype=torch.float32))
    rounded = replace(
        batch_of(head, config, example(dtype=torch.float32)),
        logits=batch.logits.bfloat16(),
        features=tuple(features.bfloat16() for features in batch.features),
    )

    actual = total(head.loss(rounded))

    assert actual.dtype == torch.float32
    expected = total(build(config, dtype=torch.float32).loss(batch))
    torch.testing.assert_close(actual, expected, rtol=0.05, atol=0.05)


def test_autocast_does_not_lower_the_precision_of_a_loss(config: HeadConfig) -> None:
    head = build(config, dtype=torch.float32)
    expected = total(build(config, dtype=torch.float32).loss(batch_of(head, config, example(dtype=torch.float32))))
    batch = batch_of(head, config, example(dtype=torch.float32))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = total(head.loss(batch))

    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_prediction_needs_the_features_alone(config: HeadConfig) -> None:
    classifier = build(config, dtype=torch.float32).classifier.eval()
    features = example(dtype=torch.float32).features[0]

    logits = classifier(features)

    assert logits.shape == (BATCH, CLASSES)
    assert logits.isfinite().all()
    torch.testing.assert_close(classifier(features[2:3]), logits[2:3])


def test_loss_is_a_function_of_the_batch_and_the_generator(config: HeadConfig) -> None:
    assert loss_of(config, example(), seed=7).equal(loss_of(config, example(), seed=7))


def test_training_lowers_the_loss_and_separates_the_classes(config: HeadConfig) -> None:
    head, given = build(config), example()
    features = given.features.clone().requires_grad_()
    parameters = [features, *head.classifier.parameters(), *head.criterion.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.05)

    losses = []
    for step in range(150):
        optimizer.zero_grad()
        loss = total(head.loss(batch_of(head, config, replace(given, features=features), seed=step, step=step)))
        loss.backward()
        losses.append(float(loss.detach()))
        optimizer.step()

    assert sum(losses[-10:]) < sum(losses[:10])
    assert head.classifier(features[0]).argmax(dim=1).equal(given.labels)


def test_config_survives_json_and_documents_itself(config: HeadConfig) -> None:
    adapter: TypeAdapter[HeadConfig] = TypeAdapter(AnyHead)

    assert adapter.validate_json(config.model_dump_json()) == config
    assert adapter.validate_python(json.loads(config.model_dump_json())) == config
    assert "arXiv" in (type(config).__doc__ or "")
    for name, info in type(config).model_fields.items():
        assert info.description, f"{type(config).__name__}.{name} has no docstring"
