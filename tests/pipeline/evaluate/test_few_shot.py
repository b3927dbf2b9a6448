import numpy as np
import pytest

from pipeline.errors import NotMeasurable
from pipeline.evaluate.episodes import Episodes, Pool
from pipeline.evaluate.few_shot import (
    centred,
    few_shot,
    generalised_few_shot,
    nearest,
    prototypes,
    refined,
)

BLOBS = np.repeat(np.arange(6), 40)


def blobs(noise: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return centred(rng.normal(size=(6, 16))[BLOBS] + noise * rng.normal(size=(240, 16)), np.zeros(16))


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_with_all_samples_as_shots_it_is_the_nearest_class_mean():
    x = blobs(1.5)
    means = [x[c == BLOBS].mean(axis=0) for c in range(6)]
    expected = [int(np.argmax([row @ m / np.linalg.norm(m) for m in means])) for row in x]

    assert nearest(x, prototypes(x, BLOBS, range(6))).tolist() == expected


def few_shot_loop(x: np.ndarray, y: np.ndarray, episodes: Episodes, rng: np.random.Generator) -> list[float]:
    """The same draws, one query at a time."""
    classes, found = np.unique(y[y >= 0]), []
    for _ in range(episodes.number):
        chosen = classes[rng.choice(len(classes), episodes.ways, replace=False)]
        drawn = {
            c: rng.choice(np.flatnonzero(y == c), episodes.shots + episodes.queries, replace=False) for c in chosen
        }
        means = {c: x[rows[: episodes.shots]].mean(axis=0) for c, rows in drawn.items()}
        right = [
            max(means, key=lambda c: x[q] @ means[c] / np.linalg.norm(means[c])) == own
            for own, rows in drawn.items()
            for q in rows[episodes.shots :]
        ]
        found.append(float(np.mean(right)))
    return found


def test_episodes_equal_the_loop_and_have_its_interval():
    x, episodes = blobs(2.0), Episodes(ways=4, shots=2, queries=5, number=80)
    expected = few_shot_loop(x, BLOBS, episodes, rng())

    found = few_shot(x, BLOBS, episodes, rng=rng(), transductive=False)

    half = 1.96 * np.std(expected, ddof=1) / 80**0.5
    assert 0.3 < found.mean < 0.95
    assert found.mean == pytest.approx(np.mean(expected))
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half), abs=1e-5)


def test_unlabelled_and_small_classes_take_no_part():
    x, y = blobs(0.3), BLOBS.copy()
    y[:38], y[40:80] = -1, -1  # two samples of class 0, none of class 1
    episodes = Episodes(ways=4, shots=3, queries=5, number=20)

    assert few_shot(x, y, episodes, rng=rng(), transductive=False).mean > 0.9
    every = Episodes(ways=4, shots=3, queries=37, number=2)  # of classes of 40
    assert few_shot(x, y, every, rng=rng(), transductive=False).mean > 0.9
    with pytest.raises(NotMeasurable, match=r"DATA_TOO_FEW.*5 classes of 8 samples.*\"0\": 2"):
        few_shot(x, y, Episodes(ways=5, shots=3, queries=5), rng=rng(), transductive=False)
    with pytest.raises(NotMeasurable, match="lower ways, shots"):
        few_shot(x, y, Episodes(ways=2, shots=40, queries=1), rng=rng(), transductive=False)


def test_queries_pull_prototypes_from_a_bad_shot():
    """One shot off its class: the queries' own clusters are seen without a label."""
    x, episodes = blobs(1.0), Episodes(ways=5, shots=1, queries=15, number=100)

    inductive = few_shot(x, BLOBS, episodes, rng=rng(), transductive=False)
    transductive = few_shot(x, BLOBS, episodes, rng=rng(), transductive=True)

    assert transductive.low > inductive.high


def test_soft_k_means_equals_the_loop():
    x, support = blobs(1.0)[:50], blobs(1.0, seed=3)[:6].reshape(2, 3, 16)
    start = prototypes(support.reshape(6, 16), np.array([0, 0, 0, 1, 1, 1]), [0, 1])
    expected = start.copy()
    for _ in range(3):
        sums = support.sum(axis=1)
        for q in x:
            e = [np.exp(q @ p / 0.2) for p in expected]
            sums = sums + np.array([[e[0] / sum(e)], [e[1] / sum(e)]]) * q
        expected = sums / np.linalg.norm(sums, axis=1, keepdims=True)

    assert refined(start, shots=support, x=x, steps=3, temperature=0.2) == pytest.approx(expected)
    assert (refined(start, shots=support, x=x, steps=0, temperature=0.2) == start).all()


def test_base_and_novel_classes_compete():
    x, episodes = blobs(0.2), Episodes(ways=2, shots=1, queries=5, number=30)
    base = np.array([0, 2, 3])
    clear = generalised_few_shot(x, BLOBS, episodes, base=prototypes(x, BLOBS, base), base_classes=base, rng=rng())
    assert (clear.base.mean, clear.novel.mean, clear.harmonic.mean) == pytest.approx((1, 1, 1), abs=0.02)

    swallowed = generalised_few_shot(
        x, BLOBS, episodes, base=prototypes(x, BLOBS, [1, 4, 5]), base_classes=base, rng=rng()
    )
    assert swallowed.base.mean < 0.5
    assert swallowed.harmonic.mean <= max(swallowed.base.mean, swallowed.novel.mean)
    alone = few_shot(x, np.where(np.isin(BLOBS, base), -1, BLOBS), episodes, rng=rng(), transductive=False)
    assert swallowed.novel.mean < alone.mean


def test_base_classes_need_queries_and_novel_ones_shots():
    x, episodes = blobs(0.2), Episodes(ways=2, shots=1, queries=5, number=3)
    with pytest.raises(NotMeasurable, match="every base class needs 5 queries"):
        generalised_few_shot(x, BLOBS, episodes, base=x[:1], base_classes=np.array([9]), rng=rng())
    with pytest.raises(NotMeasurable, match="2 classes of 6 samples"):
        generalised_few_shot(x, BLOBS, episodes, base=x[:5], base_classes=np.arange(5), rng=rng())


SUBJECTS = np.tile(np.arange(4), 60)
"""Each class has ten samples of each of four subjects."""


def few_shot_by_subject_loop(x: np.ndarray, episodes: Episodes, rng: np.random.Generator) -> list[float]:
    """Subjects on one side give the support of every class, the others are asked; one sample at a time."""
    found = []
    while len(found) < episodes.number:
        chosen = rng.choice(6, episodes.ways, replace=False)
        side = set(rng.permutation(4)[: rng.integers(1, 4)].tolist())
        rows = {c: [i for i in range(240) if BLOBS[i] == c] for c in chosen.tolist()}
        shots = {c: [i for i in r if SUBJECTS[i] in side] for c, r in rows.items()}
        asked = {c: [i for i in r if SUBJECTS[i] not in side] for c, r in rows.items()}
        if any(len(asked[c]) < episodes.queries or len(shots[c]) < episodes.shots for c in rows):
            continue
        means = {c: x[rng.choice(shots[c], episodes.shots, replace=False)].mean(axis=0) for c in rows}
        drawn = {c: rng.choice(asked[c], episodes.queries, replace=False) for c in rows}
        right = [
            max(means, key=lambda c: x[q] @ means[c] / np.linalg.norm(means[c])) == own
            for own, queries in drawn.items()
            for q in queries
        ]
        found.append(float(np.mean(right)))
    return found


def test_episodes_across_subjects_equal_the_loop():
    x, episodes = blobs(2.0), Episodes(ways=4, shots=2, queries=12, number=60)

    found = few_shot(x, BLOBS, episodes, rng=rng(), transductive=False, groups=SUBJECTS)

    assert found.mean == pytest.approx(np.mean(few_shot_by_subject_loop(x, episodes, rng())))


def test_no_subject_is_in_support_and_queries():
    members = [np.flatnonzero(c == BLOBS) for c in range(6)]
    groups = np.where(np.arange(240) % 40 == 0, -1, SUBJECTS)
    pool, episodes, generator = Pool(members[2:], members[:2], groups), Episodes(ways=3, shots=3, queries=5), rng()

    for _ in range(100):
        episode = pool.draw(episodes, generator)
        support, asked = groups[episode.support], groups[[*episode.queries.ravel(), *episode.known.ravel()]]
        assert not set(support.ravel()) & set(asked)
        assert support.min() >= 0 <= asked.min()
        assert (BLOBS[episode.queries] == BLOBS[episode.support[:, :1]]).all()
        assert (BLOBS[episode.known] == [[0], [1]]).all()


def test_a_subject_that_shows_through_raises_accuracy_only_within_subjects():
    """Each subject has a strong mark of its own in every class: samples of one person are most alike."""
    marks = np.random.default_rng(1).normal(size=(6, 4, 16))[BLOBS, SUBJECTS]
    x, episodes = centred(3 * marks + blobs(1.0), np.zeros(16)), Episodes(ways=4, shots=5, queries=5, number=100)

    within = few_shot(x, BLOBS, episodes, rng=rng(), transductive=False)
    across = few_shot(x, BLOBS, episodes, rng=rng(), transductive=False, groups=SUBJECTS)

    assert within.low > across.high


@pytest.mark.parametrize("groups", [np.zeros(240, int), np.full(240, -1), BLOBS])
def test_groups_that_cannot_be_parted_are_refused(groups: np.ndarray):
    with pytest.raises(NotMeasurable, match=r"DATA_TOO_FEW.*different groups.*across_subjects=false"):
        few_shot(blobs(0.2), BLOBS, Episodes(ways=3, shots=1, queries=2), rng=rng(), transductive=False, groups=groups)
