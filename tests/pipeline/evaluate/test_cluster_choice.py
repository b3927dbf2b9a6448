import numpy as np
import pytest

from pipeline.evaluate.cluster_choice import MAX_CLUSTERS, SAMPLES, Members, choose_clusters


def members(sizes: dict[int, int], *, classes: dict[int, list[int]] | None = None, seed: int = 0) -> Members:
    cluster = np.concatenate([np.full(size, number) for number, size in sizes.items()])
    own = np.full(len(cluster), -1)
    for number, values in (classes or {}).items():
        own[np.flatnonzero(cluster == number)[: len(values)]] = values
    order = np.random.default_rng(seed).permutation(len(cluster))
    x = np.random.default_rng(seed).normal(size=(len(cluster), 3)).astype(np.float32)
    return Members(10 * np.arange(len(cluster)), cluster[order], x, own[order], ["walk", "run"] if classes else [])


def test_roles_go_to_the_clusters_that_have_them() -> None:
    classes = {4: [0] * 9 + [1] * 3, 9: [0, 1, 0, 1, 0, 1], 2: [1] * 5, 7: [1]}
    found = choose_clusters(members({9: 6, 4: 12, 7: 1, 2: 5}, classes=classes))

    assert [(c.cluster, c.size, c.roles) for c in found] == [
        (4, 12, ("largest",)),
        (9, 6, ("least pure",)),
        (2, 5, ("median size", "purest")),
        (7, 1, ("smallest",)),
    ]
    assert [(c.majority, c.purity) for c in found] == [("walk", 0.75), ("walk", 0.5), ("run", 1.0), ("run", 1.0)]
    assert [c.share for c in found] == pytest.approx([0.5, 0.25, 5 / 24, 1 / 24])


def test_a_single_sample_is_not_the_purest_where_others_have_more() -> None:
    sizes = {0: 8, 1: 7, 2: 1}
    found = choose_clusters(members(sizes, classes={0: [0] * 6 + [1] * 2, 1: [0] * 6 + [1], 2: [0]}))

    assert {c.cluster: c.roles for c in found} == {
        0: ("largest", "least pure"),
        1: ("median size", "purest"),
        2: ("smallest",),
    }


def test_without_labels_there_is_no_purity() -> None:
    found = choose_clusters(members({0: 4, 1: 3}))

    assert [(c.majority, c.purity) for c in found] == [("", None), ("", None)]
    assert {role for c in found for role in c.roles} == {"largest", "smallest", "median size"}


def test_no_more_clusters_than_have_room_and_none_with_a_role_is_lost() -> None:
    sizes = {number: 40 - number for number in range(30)}
    classes = {number: [0, 1] * 5 for number in sizes} | {26: [1] * 10, 20: [0] * 6 + [1] * 4}
    found = choose_clusters(members(sizes, classes=classes))

    assert len(found) == MAX_CLUSTERS
    assert [c.size for c in found] == sorted([c.size for c in found], reverse=True)
    assert {role: c.cluster for c in found for role in c.roles} == {
        "largest": 0, "smallest": 29, "median size": 15, "purest": 26, "least pure": 0,
    }  # fmt: skip
    assert [c.cluster for c in found if not c.roles] == [1, 2, 3, 4]


def test_samples_are_the_nearest_to_the_mean_of_their_cluster() -> None:
    data = members({0: 40, 1: 3, 2: 20}, seed=3)

    for chosen in choose_clusters(data):
        own = [row for row in range(len(data.idx)) if data.cluster[row] == chosen.cluster]
        centre = sum(data.x[row].astype(float) for row in own) / len(own)
        by_distance = sorted(own, key=lambda row: float(((data.x[row] - centre) ** 2).sum()))
        assert list(chosen.idx) == [data.idx[row] for row in by_distance[:SAMPLES]]


def test_equal_distances_go_by_sample_number() -> None:
    same = Members(np.arange(9)[::-1].copy(), np.zeros(9, int), np.ones((9, 2)), np.full(9, -1), [])

    assert choose_clusters(same)[0].idx == (0, 1, 2, 3, 4)
    assert choose_clusters(same)[0].roles == ()


def test_nothing_is_chosen_of_nothing() -> None:
    none = np.zeros(0, int)

    assert choose_clusters(Members(none, none, np.zeros((0, 2)), none, ["walk"])) == []
