"""Edge files: what is kept, what is counted, what is refused by name."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError, DataError, Problems
from pipeline.relations import edge_rows
from pipeline.relations.build import build_relation
from pipeline.relations.built import Built
from pipeline.relations.config import EdgesRelation
from tests.pipeline.relations.dense import dense_links
from tests.pipeline.relations.small_index import small_index, train_rows

INDEX = small_index(6, split=["train", "test", "train", "train", "validation", "train"])


def build(folder: Path, **config: object) -> Built:
    relation = EdgesRelation.model_validate({"path": "links.csv", **config})
    return build_relation("mine", relation, INDEX, train_rows(INDEX), folder=folder)


def write(folder: Path, text: str) -> None:
    (folder / "links.csv").write_text(text, encoding="utf-8")


def test_links_of_the_training_split_are_kept_and_all_else_is_counted(tmp_path: Path) -> None:
    rows = ["s0,s2", "s0,s2", "s2,s0", "s3,s3", "s3,s5", "s0,s1", "s4,s1", "s5,s4"]
    write(tmp_path, "source,target\n" + "\n".join(rows) + "\n")
    built = build(tmp_path)

    # Positions 0, 1, 2, 3 are the samples 0, 2, 3, 5.
    assert np.argwhere(np.triu(dense_links(built.relation))).tolist() == [[0, 1], [2, 3]]
    found = built.findings
    assert (found.duplicates, found.self_loops, found.one_directional, found.outside) == (1, 1, 1, 3)
    assert (found.isolated, found.uses_label) == (0, False)
    assert found.sha256 == hashlib.sha256((tmp_path / "links.csv").read_bytes()).hexdigest()


def test_a_parquet_file_with_weights_and_other_names_is_the_same_graph(tmp_path: Path) -> None:
    table = pa.table({"a": ["s0", "s2", "s3"], "b": ["s2", "s0", "s5"], "w": [1.0, 3.0, 0.5]})
    pq.write_table(table, tmp_path / "links.parquet")
    (tmp_path / "links.csv").write_text("\ufeffother,b,w,a\nx,s2,1,s0\nx,s0,3,s2\nx,s5, 0.5,s3\n", encoding="utf-8")
    names = {"source": "a", "target": "b", "weight_column": "w", "weight": 2.0}

    for path in ("links.parquet", "links.csv"):
        links = dense_links(build(tmp_path, path=path, **names).relation)
        assert (links[0, 1], links[1, 0], links[2, 3]) == (6.0, 6.0, 1.0)


def test_an_absolute_path_is_taken_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, "source,target\ns0,s2\n")

    assert build(Path("nowhere"), path=str(tmp_path / "links.csv")).relation.num_links == 2


def test_unknown_keys_are_named_with_file_and_row(tmp_path: Path) -> None:
    write(tmp_path, "source,target\ns0,s2\ns0,typo\n")
    with pytest.raises(DataError, match=r"links\.csv row 2: no sample has the key 'typo'") as caught:
        build(tmp_path)
    assert caught.value.key == "typo"
    assert "e.g. 's0'" in str(caught.value)

    write(tmp_path, "source,target\n" + "\n".join(f"x{i},s0" for i in range(100)) + "\n")
    with pytest.raises(Problems) as many:
        build(tmp_path)
    assert len(many.value.problems) == 20
    assert "row 1: no sample has the key 'x0'" in str(many.value)


def test_batches_of_a_file_are_one_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = {"source": ["s0", "s2", "s3", "s0", "s5"], "target": ["s2", "s3", "s5", "s5", "s2"]}
    pq.write_table(pa.table(ends), tmp_path / "links.parquet")
    whole = build(tmp_path, path="links.parquet").relation
    monkeypatch.setattr(edge_rows, "_BATCH_ROWS", 2)

    assert np.array_equal(dense_links(build(tmp_path, path="links.parquet").relation), dense_links(whole))
    pq.write_table(pa.table(ends | {"target": ["s2", "s3", "s5", "s5", "gone"]}), tmp_path / "links.parquet")
    with pytest.raises(DataError, match="row 5: no sample has the key 'gone'"):
        build(tmp_path, path="links.parquet")


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf", "heavy", ""])
def test_weights_that_are_no_positive_numbers_are_refused_by_row(tmp_path: Path, weight: str) -> None:
    write(tmp_path, f"source,target,w\ns0,s2,1\ns3,s5,{weight}\n")
    with pytest.raises(DataError, match=r"links\.csv row 2"):
        build(tmp_path, weight_column="w")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "links.csv has no column 'source'"),
        (b"source,aim\ns0,s2\n", "links.csv has no column 'target'"),
        (b"source,target\ns0\n", "no readable edge list"),
        (b"source,target\ns0,\xff\n", "no readable edge list"),
        (b"source,target\ns0,\n", "row 1: no sample has the key ''"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "links.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        build(tmp_path)


def test_damaged_parquet_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "links.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="no readable edge list"):
        build(tmp_path, path="links.parquet")
    with pytest.raises(ConfigError, match=r"relations\.mine\.path: no such file"):
        build(tmp_path)


def test_a_file_without_links_is_a_graph_without_links(tmp_path: Path) -> None:
    write(tmp_path, "source,target\n")

    assert build(tmp_path).findings.isolated == 4
