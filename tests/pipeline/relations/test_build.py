"""Every kind of relation from a hand-written index, against matrices worked out by hand or by loops."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from pydantic import TypeAdapter

from pipeline.data.index import Index
from pipeline.errors import ConfigError, DataError
from pipeline.relations.build import build_relation
from pipeline.relations.built import Built
from pipeline.relations.cliques import Cliques
from pipeline.relations.config import AnyRelation
from pipeline.relations.samples import value_numbers
from tests.pipeline.relations.dense import dense_links
from tests.pipeline.relations.small_index import small_index, train_rows


def build(index: Index, class_names: Mapping[str, Sequence[str]] | None = None, **document: object) -> Built:
    config: AnyRelation = TypeAdapter(AnyRelation).validate_python(document)
    return build_relation("mine", config, index, train_rows(index), class_names=class_names)


def linked_by(matrix: Sequence[Sequence[float]]) -> np.ndarray:
    return np.array(matrix, np.float32)


PEOPLE = small_index(
    6,
    groups={"subject": ["a", "a", "b", "", "a", "b"], "session": ["1", "2", "3", "3", "1", ""]},
    classes={"activity": [0, 1, 0, 1, -1, 0]},
    split=["train", "train", "train", "train", "test", "train"],
)


def test_equal_values_of_the_training_split_alone_are_linked() -> None:
    built = build(PEOPLE, kind="same", column="subject", weight=0.5)

    # Nodes are positions in the training split: samples 0, 1, 2, 3, 5.
    expected = np.zeros((5, 5), np.float32)
    expected[0, 1] = expected[1, 0] = expected[2, 4] = expected[4, 2] = 0.5
    assert np.array_equal(dense_links(built.relation), expected)
    assert (built.findings.unknown, built.findings.isolated, built.findings.uses_label) == (1, 1, False)


def test_other_must_differ_and_unknown_is_no_difference() -> None:
    built = build(PEOPLE, kind="same", column="subject", other="session")

    assert np.argwhere(dense_links(built.relation)).tolist() == [[0, 1], [1, 0]]
    assert built.findings.unknown == 2


def test_a_relation_from_a_label_says_so() -> None:
    built = build(PEOPLE, kind="same", column="activity")

    assert built.findings.uses_label
    assert np.argwhere(dense_links(built.relation)[0]).ravel().tolist() == [2, 4]


@pytest.mark.parametrize("column", [None, "session"])
def test_neighbours_in_time_are_those_of_a_double_loop(column: str | None) -> None:
    generator = np.random.default_rng(3)
    start = generator.integers(0, 40, 60).astype(float)
    start[5] = -1
    record = generator.integers(0, 4, 60)
    session = [["", "x", "y", "z"][number] for number in record]
    index = small_index(60, groups={"session": session}, start_s=start.tolist(), record=record.tolist())
    built = build(index, kind="temporal", within_s=2, column=column)

    expected = np.zeros((60, 60), np.float32)
    for i in range(60):
        for j in range(60):
            known = start[i] >= 0 and start[j] >= 0 and (column is None or session[i] != "")
            expected[i, j] = i != j and known and record[i] == record[j] and abs(start[i] - start[j]) <= 2
    assert np.array_equal(dense_links(built.relation), expected)
    assert built.findings.unknown == 1 + (0 if column is None else sum(v == "" for v in session) - (session[5] == ""))


def test_a_span_longer_than_all_recordings_links_whole_recordings_only() -> None:
    index = small_index(4, start_s=[0, 10, 0, 10], record=[0, 0, 1, 1])

    links = dense_links(build(index, kind="temporal", within_s=1e9).relation)
    assert np.argwhere(links).tolist() == [[0, 1], [1, 0], [2, 3], [3, 2]]


def test_recordings_may_be_centuries_apart_and_long() -> None:
    year = 365 * 86_400.0
    start = [moment for recording in range(40) for moment in (20 * year, 20 * year + 1, 56 * year + recording)]
    index = small_index(120, start_s=start, record=[i // 3 for i in range(120)])

    links = dense_links(build(index, kind="temporal", within_s=60).relation)

    assert np.argwhere(np.triu(links)).tolist() == [[3 * n, 3 * n + 1] for n in range(40)]
    with pytest.raises(DataError, match="too long"):
        build(index, kind="temporal", within_s=1e9 - 1)  # 40 recordings of 36 years as one axis


@pytest.mark.parametrize("radius", [0, 1])
def test_nobody_has_a_tag(radius: int) -> None:
    built = build(small_index(3, groups={"tags": ["", ";", ""]}), kind="tag_sets", column="tags", radius=radius)

    assert built.relation.num_links == 0
    assert built.findings.isolated == 3


def test_numbers_of_any_size_are_standardised() -> None:
    index = small_index(4, groups={"x": ["0", "1e308", "1.7e308", "1e-300"]})

    links = dense_links(build(index, kind="nearest", columns=["x"], k=1).relation)

    assert np.argwhere(np.triu(links)).tolist() == [[0, 3], [1, 2]]


@pytest.mark.parametrize("radius", [0, 1, 2])
def test_tag_sets_within_the_radius_are_linked(radius: int) -> None:
    texts = ["a;b", "b; a", "a", "", "c", "a;b;c", "c;"]
    sets = [frozenset("ab"), frozenset("ab"), frozenset("a"), None, frozenset("c"), frozenset("abc"), frozenset("c")]
    built = build(small_index(7, groups={"tags": texts}), kind="tag_sets", column="tags", radius=radius)

    expected = [
        [i != j and s is not None and t is not None and len(s ^ t) <= radius for j, t in enumerate(sets)]
        for i, s in enumerate(sets)
    ]
    assert np.array_equal(dense_links(built.relation), linked_by(expected))
    assert isinstance(built.relation, Cliques) == (radius == 0)
    assert built.findings.unknown == 1


def test_tag_sets_in_a_label_column_need_its_class_names() -> None:
    index = small_index(4, classes={"codes": [0, 1, 2, -1]})
    names = {"codes": ("x", "x;y", "z")}
    built = build(index, names, kind="tag_sets", column="codes", radius=1)

    assert built.findings.uses_label
    assert np.argwhere(dense_links(built.relation)).tolist() == [[0, 1], [1, 0]]
    with pytest.raises(ConfigError, match="class names"):
        build(index, kind="tag_sets", column="codes")


def test_the_nearest_by_standardised_numbers_are_those_of_sorting_all_distances() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(40, 2)) * [1.0, 1000.0]
    groups = {name: [repr(float(v)) for v in column] for name, column in zip("xy", values.T, strict=True)}
    groups["x"][7] = ""
    built = build(small_index(40, groups=groups), kind="nearest", columns=["x", "y"], k=3)

    kept = np.delete(np.arange(40), 7)
    scaled = (values[kept] - values[kept].mean(axis=0)) / values[kept].std(axis=0)
    expected = np.zeros((40, 40), np.float32)
    for row, node in enumerate(kept):
        distance = np.linalg.norm(scaled - scaled[row], axis=1)
        expected[node, kept[np.argsort(distance)[1:4]]] = 1
    one_directional = int((expected * (1 - expected.T)).sum())
    assert np.array_equal(dense_links(built.relation), np.maximum(expected, expected.T))
    assert (built.findings.one_directional, built.findings.unknown) == (one_directional, 1)


def test_equal_points_choose_others_and_never_themselves() -> None:
    built = build(small_index(30, groups={"x": ["5"] * 30}), kind="nearest", columns=["x"], k=4)

    assert not dense_links(built.relation).diagonal().any()
    assert (built.relation.degree() >= 4).all()


@pytest.mark.parametrize("bad", ["abc", "nan", "inf"])
def test_values_that_are_no_numbers_are_named(bad: str) -> None:
    with pytest.raises(DataError, match=f"column 'x' holds '{bad}'"):
        build(small_index(3, groups={"x": ["1", bad, "2"]}), kind="nearest", columns=["x"], k=1)


def test_k_must_leave_neighbours_to_choose_from() -> None:
    index = small_index(4, groups={"x": ["1", "2", "3", ""]})

    assert build(index, kind="nearest", columns=["x"], k=2).relation.num_links == 6
    with pytest.raises(ConfigError, match=r"relations\.mine\.k.*1\.\.2"):
        build(index, kind="nearest", columns=["x"], k=3)


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "same", "column": "subjct"},
        {"kind": "same", "column": "subject", "other": "subjct"},
        {"kind": "temporal", "within_s": 1, "column": "subjct"},
        {"kind": "tag_sets", "column": "subjct"},
        {"kind": "nearest", "columns": ["subjct"]},
        {"kind": "meta_path", "path": ["subjct"]},
    ],
    ids=lambda document: f"{document['kind']}-{len(document)}",
)
def test_unknown_columns_are_named_with_the_nearest_one(document: dict[str, object]) -> None:
    index = small_index(3, groups={"subject": ["a", "a", "b"]}, start_s=[0, 1, 2])
    with pytest.raises(ConfigError, match=r"no column 'subjct'.*did you mean 'subject'"):
        build(index, None, **document)


@pytest.mark.parametrize(
    "document",
    [{"kind": "nearest", "columns": ["activity"], "k": 1}, {"kind": "meta_path", "path": ["activity"]}],
    ids=["nearest", "meta_path"],
)
def test_labels_enter_no_other_kind(document: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="'activity' is a label"):
        build(PEOPLE, None, **document)


def test_a_data_set_without_times_has_no_neighbours_in_time() -> None:
    with pytest.raises(DataError, match="no sample of the pretraining split has a start time"):
        build(PEOPLE, kind="temporal", within_s=1)


def test_columns_of_millions_of_samples_are_numbered() -> None:
    """Of so many texts, Arrow makes several arrays unless it is told that they may be large."""
    assert value_numbers(np.full((1 << 21) + 1, "8 letter")).max() == 0
