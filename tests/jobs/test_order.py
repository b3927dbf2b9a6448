"""From a recipe to the order: each kind of the union, over the training split alone."""

from pathlib import Path

import numpy as np
import pytest

from jobs.configs import Recipe
from jobs.order import pretraining_order
from pipeline.config import load_config
from pipeline.data.index import Index, load_index
from pipeline.errors import ConfigError, Problems
from tests.pipeline.data.raw_files_of_a_user import describe, ingest_toy, write_raw

TINY = Path(__file__).parents[1] / "e2e" / "tiny.yaml"
MIX = ["data.generate=null", "data.ingest=null", "data.mix=[{path: a, weight: 3}, {path: b}]", "pretrain.batch_size=4"]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("order")
    write_raw(folder / "raw")
    ingest_toy(describe(), folder / "raw", folder / "data")
    return load_index(folder / "data")


def _recipe(*overrides: str) -> Recipe:
    return load_config(Recipe, TINY, overrides)


def test_shuffle_goes_through_the_training_split(index: Index) -> None:
    order = pretraining_order(_recipe("pretrain.batch_size=2"), [index])
    seen = np.concatenate([order.batch(0, step) for step in range(order.steps_per_epoch)])

    assert np.array_equal(np.sort(seen), index.rows("train"))


def test_groups_come_from_the_training_split(index: Index) -> None:
    groups = "pretrain.order={kind: groups, column: subject, samples_per_group: 2, steps_per_epoch: 5}"
    order = pretraining_order(_recipe("pretrain.batch_size=4", groups), [index])
    batch = order.batch(1, 4)

    assert set(batch.tolist()) <= set(index.rows("train").tolist())
    assert len(set(index.group("subject")[batch].tolist())) == 2


def test_a_mixture_has_its_quotas(index: Index) -> None:
    order = pretraining_order(_recipe(*MIX, "pretrain.order={kind: mixture, steps_per_epoch: 7}"), [index, index])
    batch = order.batch(0, 6)

    assert order.steps_per_epoch == 7
    assert (batch < len(index)).sum() == 3
    assert set((batch % len(index)).tolist()) <= set(index.rows("train").tolist())


def test_mixture_and_data_belong_together() -> None:
    for overrides in (MIX, ["pretrain.order={kind: mixture, steps_per_epoch: 7}"]):
        with pytest.raises(Problems, match="belong together"):
            _recipe(*overrides)
    with pytest.raises(Problems, match="leave out"):
        _recipe(*MIX, "data.path=c", "pretrain.order={kind: mixture, steps_per_epoch: 7}")


def test_neighbours_of_a_relation_that_nobody_declared_are_refused(index: Index) -> None:
    recipe = _recipe("pretrain.order={kind: neighbours, relation: far}", "pretrain.batch_size=4")

    with pytest.raises(ConfigError) as caught:
        pretraining_order(recipe, [index])

    assert (caught.value.code, caught.value.expected) == ("CONFIG_RELATION", ["near"])


@pytest.mark.parametrize(("wrong", "near"), [("label=activty", "activity"), ("subject=subjct", "subject")])
def test_label_and_subject_are_columns_that_are_ingested(wrong: str, near: str) -> None:
    with pytest.raises((ConfigError, Problems), match=rf"did you mean {near}\?"):
        _recipe(wrong)


@pytest.mark.parametrize("name", ["keys", "values", "forward"])
def test_a_stream_cannot_have_a_name_that_torch_uses(name: str) -> None:
    with pytest.raises((ConfigError, Problems), match=rf"streams cannot be called \['{name}'\]"):
        _recipe(f"streams.{name}={{kind: sensor}}")
