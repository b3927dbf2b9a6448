"""Meta-paths: the published PathSim, and choices of samples by it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy import sparse

from pipeline.errors import ConfigError
from pipeline.relations import meta_path
from pipeline.relations import path_sim as path_sim_module
from pipeline.relations.build import build_relation
from pipeline.relations.built import Built
from pipeline.relations.config import AnyRelation, MetaPathRelation
from pipeline.relations.path_sim import best_rows, path_sim
from tests.pipeline.relations.dense import dense_links
from tests.pipeline.relations.small_index import small_index, train_rows


def build(groups: dict[str, list[str]], **document: object) -> Built:
    index = small_index(len(next(iter(groups.values()))), groups=groups)
    config: AnyRelation = TypeAdapter(AnyRelation).validate_python({"kind": "meta_path", **document})
    return build_relation("mine", config, index, train_rows(index))


def test_path_sim_is_the_published_one() -> None:
    found = path_sim(sparse.csr_array(np.array([[2.0, 1, 0], [1, 3, 1], [0, 1, 1]]))).toarray()

    assert found[0, 1] == pytest.approx(0.4)
    assert found[1, 2] == pytest.approx(0.5)


def test_shared_tags_give_the_same_similarities_as_weights() -> None:
    """Tags whose common counts are the published matrix."""
    built = build({"tags": ["a;b", "b;c;d", "d"]}, path=["tags"], separator=";", top=2)

    assert dense_links(built.relation) == pytest.approx(np.array([[0, 0.4, 0], [0.4, 0, 0.5], [0, 0.5, 0]]), abs=1e-7)


def test_a_longer_path_goes_through_typed_nodes() -> None:
    groups = {"session": ["s1", "s1", "s2", "s3", "s4", ""], "device": ["d1", "d1", "d1", "d2", "d2", "d1"]}
    through_device = build(groups, path=["session", "device", "session"], top=5)
    by_session = build(groups, path=["session"], top=5)

    assert np.argwhere(np.triu(dense_links(through_device.relation))).tolist() == [[0, 1], [0, 2], [1, 2], [3, 4]]
    assert np.argwhere(np.triu(dense_links(by_session.relation))).tolist() == [[0, 1]]
    assert (through_device.findings.unknown, through_device.findings.isolated) == (1, 1)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.sets(st.sampled_from("abcd")), min_size=2, max_size=20), st.integers(1, 6))
def test_every_sample_has_its_most_similar_ones(tags: list[set[str]], top: int) -> None:
    built = build({"tags": [";".join(sorted(each)) for each in tags]}, path=["tags"], separator=";", top=top)
    links = dense_links(built.relation)

    for i, own in enumerate(tags):
        scores = [2 * len(own & t) / (len(own) + len(t)) if own & t and i != j else 0.0 for j, t in enumerate(tags)]
        best = sorted((score for score in scores if score > 0), reverse=True)[:top]
        linked = np.flatnonzero(links[i])
        assert links[i, linked] == pytest.approx([scores[j] for j in linked])
        assert sorted(links[i, linked].tolist(), reverse=True)[: len(best)] == pytest.approx(best)


def test_a_large_group_spreads_its_choices() -> None:
    """Nobody is everybody's neighbour: a subject with many windows does not dominate."""
    built = build({"subject": ["a"] * 500 + ["b"] * 3}, path=["subject"], top=4)

    assert built.relation.degree()[:500].max() <= 8
    assert built.relation.degree().min() >= 2


@pytest.mark.parametrize("path", [["a", "b"], ["a", "b", "c"], []])
def test_a_path_that_is_not_symmetric_is_refused(path: list[str]) -> None:
    with pytest.raises(ValidationError):
        MetaPathRelation(path=tuple(path))


@pytest.mark.parametrize("length", [55, 2201])
def test_more_paths_than_can_be_counted_exactly_are_refused_by_their_key(length: int) -> None:
    """Sessions that share both of two devices: every two steps double the paths, until float64 overflows."""
    groups = {"session": ["s1", "s1", "s2", "s2"], "device": ["d1", "d2", "d1", "d2"]}
    path = ["session", *["device", "session"] * (length // 2)]

    with pytest.raises(ConfigError, match=r"relations\.mine\.path: \S+ paths lead") as caught:
        build(groups, path=path)
    assert caught.value.field == "relations.mine.path"
    assert caught.value.fix == "shorten the path"
    assert build(groups, path=path[:53]).relation.num_links == 12


def test_too_many_comparisons_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = {"tags": [f"all;{number}" for number in range(40)]}
    monkeypatch.setattr(meta_path, "MAX_PRODUCTS", 40 * 40 + 39)  # all 40 meet at `all`, each at its own tag

    with pytest.raises(ConfigError, match=r"relations\.mine\.path: 40 distinct rows meet 1640 times"):
        build(groups, path=["tags"], separator=";")
    monkeypatch.setattr(meta_path, "MAX_PRODUCTS", 40 * 40 + 40)
    assert build(groups, path=["tags"], separator=";").relation.num_links > 0


@pytest.mark.parametrize(("tile", "chunk"), [(1, 1), (50, 7)])
def test_neither_tiles_nor_chunks_change_the_relation(monkeypatch: pytest.MonkeyPatch, tile: int, chunk: int) -> None:
    generator = np.random.default_rng(0)
    tags = [";".join(generator.choice(list("abcdefgh"), 3)) for _ in range(120)]
    whole = build({"tags": tags}, path=["tags"], separator=";", top=3).relation
    monkeypatch.setattr(path_sim_module, "_TILE_PRODUCTS", tile)
    monkeypatch.setattr(meta_path, "_CHUNK", chunk)
    parts = build({"tags": tags}, path=["tags"], separator=";", top=3).relation

    assert np.array_equal(dense_links(whole), dense_links(parts))


def test_the_best_of_many_equal_rows_are_the_next_ones() -> None:
    """20 rows that share one node and nothing else: all scores are equal, the distance decides."""
    half = sparse.csr_array(np.hstack([np.ones((20, 1)), np.eye(20)]))
    choices = best_rows(half, np.ones(20, np.int64), 2)

    assert choices.row.tolist() == np.repeat(np.arange(20), 2).tolist()
    assert choices.other.tolist() == [(row + step) % 20 for row in range(20) for step in (1, 2)]
    assert choices.score == pytest.approx(np.full(40, 0.5))
