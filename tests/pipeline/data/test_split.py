"""Splits: whole groups, declared values, carved-out validation."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pipeline.data.records import Record
from pipeline.data.split import AnySplit, check_counts, split_records
from pipeline.errors import DataError, LeakError

subjects = st.lists(st.integers(0, 30).map(str), min_size=1, max_size=120)


def parse(**document: object) -> AnySplit:
    return TypeAdapter(AnySplit).validate_python(document)


def records_of(groups: list[str], **columns: list[str]) -> list[Record]:
    return [
        Record(n, f"k{n}", {"subject": group, **{name: cells[n] for name, cells in columns.items()}})
        for n, group in enumerate(groups)
    ]


@given(subjects, st.integers(0, 5), st.floats(0.01, 0.45), st.floats(0.01, 0.45))
def test_groups_stay_together_in_the_asked_shares(groups: list[str], seed: int, validation: float, test: float) -> None:
    split = parse(kind="groups", group="subject", fractions={"validation": validation, "test": test}, seed=seed)

    splits = split_records(split, records_of(groups))

    side = dict(zip(groups, splits, strict=True))
    assert [side[group] for group in groups] == splits
    counts, num_groups = Counter(side.values()), len(side)
    assert counts["test"] == min(max(1, round(test * num_groups)), num_groups)
    assert counts["train"] == max(0, num_groups - counts["test"] - max(1, round(validation * num_groups)))


@given(subjects, st.randoms())
def test_the_draw_does_not_depend_on_the_order_of_the_records(groups: list[str], random: object) -> None:
    split = parse(kind="groups", group="subject", fractions={"test": 0.3}, seed=1)
    records = records_of(groups)
    expected = dict(zip((r.key for r in records), split_records(split, records), strict=True))

    random.shuffle(records)  # type: ignore[attr-defined]

    assert dict(zip((r.key for r in records), split_records(split, records), strict=True)) == expected


def test_another_seed_draws_other_groups() -> None:
    records = records_of([str(n) for n in range(40)])
    draws = [
        tuple(split_records(parse(kind="groups", group="subject", fractions={"test": 0.3}, seed=seed), records))
        for seed in range(3)
    ]

    assert len(set(draws)) == 3


def test_listed_values_test_and_validate_and_the_rest_trains() -> None:
    split = parse(kind="values", group="subject", test=[2, "4"], validation=["3"])

    assert split_records(split, records_of(list("12345"))) == ["train", "test", "validation", "test", "train"]


@pytest.mark.parametrize(
    "split",
    [
        parse(kind="values", group="subject", test=[0, 1], validation={"group": "subject", "fraction": 0.25}),
        parse(
            kind="column", column="official", values={"train": [False], "test": [True]}, disjoint=["subject"],
            validation={"group": "subject", "fraction": 0.25},
        ),
    ],
    ids=["values", "column"],
)  # fmt: skip
def test_validation_is_carved_out_of_train_by_whole_groups(split: AnySplit) -> None:
    groups = [str(n % 10) for n in range(50)]
    records = records_of(groups, official=["True" if g in "01" else "False" for g in groups])

    splits = split_records(split, records)

    assert Counter(splits) == {"train": 30, "validation": 10, "test": 10}
    assert {g for g, s in zip(groups, splits, strict=True) if s == "test"} == {"0", "1"}
    assert len({g for g, s in zip(groups, splits, strict=True) if s == "validation"}) == 2


def test_a_column_split_reads_its_own_names_by_default() -> None:
    records = records_of(list("123"), part=["Train", "validation", "TEST"])

    assert split_records(parse(kind="column", column="part", disjoint=[]), records) == ["train", "validation", "test"]


def test_a_leak_is_an_error_only_where_groups_must_be_disjoint() -> None:
    records = records_of(list("11"), part=["train", "test"])

    assert split_records(parse(kind="column", column="part", disjoint=[]), records) == ["train", "test"]
    with pytest.raises(LeakError, match="subject '1' is in train"):
        split_records(parse(kind="column", column="part", disjoint=["subject"]), records)


def test_a_record_without_its_group_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        split_records(parse(kind="groups", group="subject", fractions={"test": 0.5}), records_of(["1", ""]))

    assert (caught.value.code, caught.value.key) == ("DATA_MISSING_VALUE", "k1")


def test_promised_splits_must_not_be_empty() -> None:
    promised = parse(kind="column", column="part", disjoint=[], values={"train": ["a"], "validation": ["b"]})

    check_counts(promised, {"train": 1, "validation": 1, "test": 0})
    check_counts(parse(kind="train_only"), {"train": 1, "validation": 0, "test": 0})
    with pytest.raises(DataError, match="validation") as caught:
        check_counts(promised, {"train": 1, "validation": 0, "test": 0})
    assert caught.value.code == "DATA_EMPTY_SPLIT"


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "groups", "group": "subject", "fractions": {"test": 0.6, "validation": 0.4}},
        {"kind": "groups", "group": "subject", "fractions": {}},
        {"kind": "groups", "group": "subject", "fractions": {"train": 0.5}},
        {"kind": "values", "group": "subject", "test": [1], "validation": ["1"]},
        {"kind": "column", "column": "part"},
    ],
)
def test_splits_that_cannot_work_are_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        parse(**document)
