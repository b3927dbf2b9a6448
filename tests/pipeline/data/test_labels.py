"""Class numbers follow the order of numbers or names, not of the records."""

import pytest

from pipeline.data.labels import LabelColumn, class_names, class_values
from pipeline.errors import DataError


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["b", "a", "", "b"], ["a", "b"]),
        (["10", "9", "1"], ["1", "9", "10"]),
        (["10", "9", "one"], ["10", "9", "one"]),
        (["-1", "0.5", "0"], ["-1", "0", "0.5"]),
        (["", ""], []),
    ],
)
def test_classes_are_in_order_whatever_the_order_of_the_records(cells: list[str], values: list[str]) -> None:
    assert class_values(cells) == values
    assert class_values(cells[::-1]) == values


def test_names_replace_codes_in_the_order_of_the_codes() -> None:
    label = LabelColumn(column="activity", names={"10": "lie", "9": "walk"})

    assert class_names(label, ["9", "10"]) == ("walk", "lie")
    assert LabelColumn.model_validate("activity") == LabelColumn(column="activity")


@pytest.mark.parametrize(("names", "got"), [({"1": "a"}, ["2"]), ({"1": "a", "2": "a"}, ["a", "a"])])
def test_codes_without_a_name_of_their_own_are_refused(names: dict[str, str], got: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        class_names(LabelColumn(column="activity", names=names), ["1", "2"])

    assert (caught.value.code, caught.value.got) == ("DATA_LABEL", got)
