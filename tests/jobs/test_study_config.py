"""Study files: variants, grids, and what may choose between them."""

import pytest

from jobs.study_config import StudyConfig
from pipeline.config import build_config
from pipeline.errors import Problems


def config(**given: object) -> StudyConfig:
    return build_config(StudyConfig, {"name": "s", "recipe": "r.yaml", "variants": {"a": []}, **given})  # type: ignore[dict-item]


def test_a_grid_names_every_combination_of_every_variant() -> None:
    grid = {"finetune.optim.learning_rate": [1e-3, 0.1], "streams.imu.encoder.widths": [[8, 16], [16, 32]]}

    found = config(variants={"a": ["seed_of=1"], "b": []}, grid=grid).all_variants()

    assert list(found)[:2] == ["a-learning_rate=0.001-widths=8_16", "a-learning_rate=0.001-widths=16_32"]
    assert len(found) == 8
    assert found["a-learning_rate=0.1-widths=8_16"] == (
        "seed_of=1",
        "finetune.optim.learning_rate=0.1",
        "streams.imu.encoder.widths=[8, 16]",
    )


def test_keys_that_end_alike_are_written_in_full() -> None:
    grid = {"pretrain.epochs": [1], "finetune.epochs": [2]}

    assert list(config(variants={}, grid=grid).all_variants()) == ["pretrain.epochs=1-finetune.epochs=2"]


def test_stages_run_in_the_order_of_a_recipe() -> None:
    assert config(stages=["finetune", "probe", "pretrain"]).stages == ("pretrain", "probe", "finetune")


def test_the_first_variant_alone_does_more() -> None:
    found = config(variants={"a": [], "b": []}, first_variant_stages=["finetune", "relations"])

    assert found.stages_of("a") == ("relations", "pretrain", "probe", "finetune")
    assert found.stages_of("b") == ("pretrain", "probe")


def test_what_comes_before_the_branch_is_shared() -> None:
    found = config(stages=["finetune", "probe", "pretrain"], branch_at="finetune")

    assert (found.trunk_stages, found.branch_stages) == (("pretrain", "probe"), ("finetune",))
    assert (config().trunk_stages, config().branch_stages) == ((), ("pretrain", "probe"))


@pytest.mark.parametrize(
    "metric",
    [
        "probe/fused/linear/10/accuracy",
        "probe/fused/knn/100/f1_macro",
        "finetune/100/accuracy",
        "finetune/100/nll_calibrated",
        "control/features/fused/100/accuracy",
        "evaluate/retrieval/probe/fused/map",
        "pretrain/loss/intra",
    ],
)
def test_what_the_test_split_says_may_not_choose(metric: str) -> None:
    with pytest.raises(Problems, match="chosen by the test split cannot be tested on it"):
        config(select={"metric": metric, "mode": "max"}, stages=["pretrain", "probe", "finetune"])


@pytest.mark.parametrize(
    "metric", ["probe/imu-note/linear/2.5/validation_loss", "probe/fused/knn/100/validation_accuracy"]
)
def test_held_out_groups_may_choose(metric: str) -> None:
    assert config(select={"metric": metric, "mode": "min"}).select is not None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"variants": {}}, "nothing to compare"),
        ({"seeds": [0, 1, 0]}, "name one twice"),
        ({"overrides": ["seed=3"]}, "seed of the recipe are set by the study"),
        ({"variants": {"a": ["out=x"]}}, "out of the recipe are set by the study"),
        ({"variants": {"a b": []}}, "pattern"),
        ({"grid": {"a.b": [{"x": 1}, [{"x": 1}]]}}, "make no names of their own"),
        ({"stages": ["ingest"]}, "stages.0"),
        ({"select": {"metric": "finetune/100/validation_accuracy", "mode": "max"}}, "stage finetune"),
        ({"first_variant_stages": ["probe"]}, r"names \['probe'\], which every variant does"),
        ({"branch_at": "finetune"}, "needs the stages pretrain and finetune"),
        ({"branch_at": "probe", "stages": ["probe"]}, "needs the stages pretrain and probe"),
        ({"branch_at": "probe", "variants": {"shared": []}}, "can be called 'shared'"),
        (
            {
                "branch_at": "finetune",
                "stages": ["pretrain", "probe", "finetune"],
                "select": {"metric": "probe/fused/linear/10/validation_loss", "mode": "min"},
            },
            "which no variant runs",
        ),
    ],
)
def test_mistakes_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(Problems, match=message):
        config(**given)
