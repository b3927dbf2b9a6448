"""The table of a study: spread over seeds, pairs of the same seed, controls once."""

from jobs.study_table import EVERY_VARIANT, study_table

LINEAR, RANDOM = "probe/fused/linear/10/accuracy", "control/random_init/fused/10/accuracy"
FOUND = {
    "base": {0: {LINEAR: 0.5, RANDOM: 0.2, "time/pretrain_s": 10.0}, 1: {LINEAR: 0.7, RANDOM: 0.3}},
    "other": {0: {LINEAR: 0.6, RANDOM: 0.2}, 1: {LINEAR: 0.9, RANDOM: 0.3, "probe/fused/linear/100/accuracy": 1.0}},
}


def rows(markdown: str) -> list[str]:
    return [line for line in markdown.splitlines() if line.startswith("| ") and "---" not in line]


def test_cells_are_means_and_sample_deviations_over_seeds() -> None:
    header, base, other, random, *_ = rows(study_table(FOUND, {}).markdown())

    assert header == "| variant | streams | method | 10 % labels | 100 % labels | pretraining, s |"
    assert base == "| base | fused | Kindred, linear probe | 60.0 ± 14.1 |  | 10.0 |"
    assert other == "| other | fused | Kindred, linear probe | 75.0 ± 21.2 | 100.0 |  |"
    assert random == f"| {EVERY_VARIANT} | fused | Random encoder | 25.0 ± 7.1 |  |  |"


def test_differences_are_those_of_the_same_seed() -> None:
    assert rows(study_table(FOUND, {}).markdown())[-1] == (
        "| other | fused | Kindred, linear probe | +15.0 ± 7.1 (+10.0, +20.0) |  |"
    )


def test_a_seed_that_one_side_lacks_makes_no_pair() -> None:
    found = {"base": {1: FOUND["base"][1]}, "other": FOUND["other"]}

    (difference,) = study_table(found, {}).differences

    assert list(difference.cells[10]) == [1]


def test_controls_that_differ_between_variants_are_told_apart() -> None:
    found = FOUND | {"third": {0: {LINEAR: 0.5, RANDOM: 0.25}}}

    assert [line.variant for line in study_table(found, {}).controls] == ["base, other", "third"]


def test_what_was_measured_before_the_variants_branch_stands_beside_them_once() -> None:
    tuned = {"a": {0: {"finetune/10/accuracy": 0.8}}, "b": {0: {"finetune/10/accuracy": 0.9}}}

    _, *lines = rows(study_table(tuned, FOUND["base"]).markdown())

    assert lines[:4] == [
        "| a | fused | Kindred, fine-tuned | 80.0 |  |",
        "| b | fused | Kindred, fine-tuned | 90.0 |  |",
        f"| {EVERY_VARIANT} | fused | Kindred, linear probe | 60.0 ± 14.1 | 10.0 |",
        f"| {EVERY_VARIANT} | fused | Random encoder | 25.0 ± 7.1 |  |",
    ]
    assert lines[-1] == "| b | fused | Kindred, fine-tuned | +10.0 |"


def test_a_first_variant_without_results_leaves_nothing_to_compare_with() -> None:
    table = study_table({"base": {}, "other": FOUND["other"]}, {})

    assert table.differences == []
    assert "Minus" not in table.markdown()
