"""Every source of a stream, from raw files to the stored series, text or bytes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy.io import wavfile

from pipeline.data.file_source import RawData
from pipeline.data.records import Record
from pipeline.data.series import Series
from pipeline.data.sources import AnySource
from pipeline.errors import DataError

XY = {"channels": ["x", "y"], "rate_hz": 10}
NOON_NS = 1_793_016_000 * 10**9


def read(root: Path, source: dict[str, object], **row: str) -> Series | str | bytes | None:
    """What the source delivers for a record with these cells."""
    parsed = TypeAdapter(AnySource).validate_python(source)
    return parsed.read(Record(number=1, key="k1", row={"key": "k1", **row}), RawData(root))


def series(root: Path, source: dict[str, object], **row: str) -> Series:
    found = read(root, source, **row)
    assert isinstance(found, Series)
    return found


def code(root: Path, source: dict[str, object], **row: str) -> DataError:
    with pytest.raises(DataError) as caught:
        read(root, source, **row)
    return caught.value


def test_csv_columns_are_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "k1.csv").write_text("y,x\n2,1\n4,3\n,5\n")

    found = series(tmp_path, {"kind": "csv", "path": "{key}.csv", **XY})

    np.testing.assert_array_equal(found.values, np.array([[1, 3, 5], [2, 4, np.nan]], np.float32))
    assert (found.rate_hz, found.first_ns) == (10, None)


@pytest.mark.fault("D12")
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_missing_and_unexpected_columns_are_named(tmp_path: Path, kind: str) -> None:
    table = pd.DataFrame({"x": [1.0], "z": [2.0], "comment": ["-"]})
    table.to_csv(tmp_path / "k1.csv", index=False)
    table.to_parquet(tmp_path / "k1.parquet")
    source = {"kind": kind, "path": f"{{key}}.{kind}", **XY}

    error = code(tmp_path, source)

    assert error.code == "DATA_CHANNELS"
    assert "missing: ['y'], unexpected: ['z', 'comment']" in error.message
    assert "['z']" in code(tmp_path, {**source, "ignore": ["comment"]}).message
    assert series(tmp_path, {**source, "channels": ["x", "z"], "ignore": "all"}).values.tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x,y\n1,two\n", "DATA_DTYPE"),
        ("x,y\n1,2,3,4\n5,6,7,8\n", "DATA_CSV"),
        ("x,y\n1,2\n5\n", "DATA_CSV"),
        ("x,y\n2020-01-01,2\n", "DATA_DTYPE"),
        ("x,y\n", "DATA_EMPTY_SERIES"),
        ("", "DATA_CHANNELS"),
        ("x,x,y\n1,2,3\n", "DATA_CHANNELS"),
        ("x,y\n1,\xe9\n", "DATA_ENCODING"),
    ],
)
def test_bad_tables_have_a_code(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "k1.csv").write_bytes(text.encode("latin-1"))

    assert code(tmp_path, {"kind": "csv", "path": "{key}.csv", **XY}).code == expected


def test_a_table_with_utc_stamps_lands_on_the_grid(tmp_path: Path) -> None:
    stamps = NOON_NS + np.array([0, 100, 200, 600, 700]) * 10**6
    table = pd.DataFrame({"t": stamps, "x": [0.0, 1.0, 2.0, 6.0, 7.0], "y": 1.0})
    table.to_csv(tmp_path / "k1.csv", index=False)
    table.to_parquet(tmp_path / "k1.parquet")
    time = {"column": "t", "unit": "ns", "clock": "utc"}

    for kind in ("csv", "parquet"):
        found = series(tmp_path, {"kind": kind, "path": f"{{key}}.{kind}", "time": time, **XY})

        np.testing.assert_array_equal(found.values[0], np.array([0, 1, 2, np.nan, np.nan, np.nan, 6, 7], np.float32))
        assert found.first_ns == NOON_NS


def test_zoned_stamps_of_a_parquet_file_are_nanoseconds_and_naive_ones_are_refused(tmp_path: Path) -> None:
    stamps = pd.date_range("2026-10-26T13:00:00", periods=3, freq="100ms")
    source = {"kind": "parquet", "path": "{key}.parquet", "time": {"column": "t", "unit": "ns", "clock": "utc"}, **XY}

    pd.DataFrame({"t": stamps.tz_localize("Europe/Paris"), "x": 1.0, "y": 1}).to_parquet(tmp_path / "k1.parquet")
    assert series(tmp_path, source).first_ns == NOON_NS
    pd.DataFrame({"t": stamps, "x": 1.0, "y": 1}).to_parquet(tmp_path / "k1.parquet")
    assert code(tmp_path, source).code == "DATA_TIME"


@pytest.mark.fault("D36")
def test_a_wrong_rate_or_clock_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"t": [0.0, 0.1, 0.2], "x": 1.0, "y": 1.0}).to_csv(tmp_path / "k1.csv", index=False)
    source = {"kind": "csv", "path": "{key}.csv", **XY}

    assert series(tmp_path, {**source, "time": {"column": "t"}}).values.shape == (2, 3)
    assert code(tmp_path, {**source, "rate_hz": 9.7, "time": {"column": "t"}}).code == "DATA_RATE"
    assert code(tmp_path, {**source, "time": {"column": "t", "clock": "utc"}}).code == "DATA_TIME"


@pytest.mark.parametrize(
    ("layout", "shape"), [("TC", (7, 6)), ("CT", (6, 7)), ("TJC", (7, 2, 3)), ("JCT", (2, 3, 7)), ("JTC", (2, 7, 3))]
)
def test_axes_are_flattened_in_order(tmp_path: Path, layout: str, shape: tuple[int, ...]) -> None:
    array = np.arange(42, dtype=np.int16).reshape(shape)
    np.save(tmp_path / "k1.npy", array)
    source = {"kind": "npy", "path": "k1.npy", "layout": layout, "channels": [["a", "b"], ["x", "y", "z"]]}

    found = series(tmp_path, {**source, "rate_hz": 30})

    time = layout.index("T")
    for step in range(7):
        expected = np.take(array, step, axis=time).ravel()
        assert found.values[:, step].tolist() == expected.tolist()


def test_combined_channels_are_named_in_the_order_of_the_data(tmp_path: Path) -> None:
    source = TypeAdapter(AnySource).validate_python(
        {"kind": "npy", "path": "k", "layout": "TJC", "channels": [["a", "b"], ["x", "y"]], "rate_hz": 1}
    )

    assert source.stored_channels == ("a_x", "a_y", "b_x", "b_y")


def test_reference_select_scale_and_crop(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(20, 3, 2)).astype(np.float32)
    np.save(tmp_path / "k1.npy", array)
    source = {
        "kind": "npy", "path": "{key}.npy", "layout": "TJC", "rate_hz": 10, "scale": 2,
        "channels": [["head", "hip", "foot"], ["x", "y"]], "reference": ["hip_x", "hip_y"],
        "select": ["foot_y", "head_x"], "crop_s": [0.5, 1.5],
    }  # fmt: skip

    found = series(tmp_path, source)

    expected = 2 * np.stack([array[:, 2, 1] - array[:, 1, 1], array[:, 0, 0] - array[:, 1, 0]])
    np.testing.assert_allclose(found.values, expected[:, 5:15], rtol=1e-5)


def test_resampling_changes_rate_and_length(tmp_path: Path) -> None:
    np.save(tmp_path / "k1.npy", np.ones((100, 2)))

    found = series(tmp_path, {"kind": "npy", "path": "{key}.npy", "layout": "TC", "resample_hz": 5, **XY})

    assert (found.rate_hz, found.values.shape, found.values.dtype) == (5, (2, 50), np.float32)


def test_npz_rows_and_own_files(tmp_path: Path) -> None:
    stack = np.arange(2 * 2 * 5, dtype=np.float64).reshape(2, 2, 5)
    np.savez(tmp_path / "all.npz", signals=stack)
    np.savez_compressed(tmp_path / "k1.npz", signals=stack[0])
    source = {"kind": "npz", "array": "signals", "layout": "CT", **XY}

    assert series(tmp_path, {**source, "path": "all.npz"}).values.tolist() == stack[1].tolist()
    assert series(tmp_path, {**source, "path": "{key}.npz"}).values.tolist() == stack[0].tolist()
    shortened = series(tmp_path, {**source, "path": "all.npz", "length": "n"}, n="3")
    assert shortened.values.tolist() == stack[1, :, :3].tolist()


@pytest.mark.parametrize("cell", ["0", "6", "-1", "x", ""])
def test_a_length_that_does_not_fit_is_refused(tmp_path: Path, cell: str) -> None:
    np.savez(tmp_path / "all.npz", signals=np.zeros((2, 2, 5)))
    source = {"kind": "npz", "path": "all.npz", "array": "signals", "layout": "CT", "length": "n", **XY}

    assert code(tmp_path, source, n=cell).code == "DATA_SHAPE"


def test_an_npz_without_the_array_or_row_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "all.npz", signals=np.zeros((1, 2, 5)))
    source = {"kind": "npz", "path": "all.npz", "layout": "CT", **XY}

    assert code(tmp_path, {**source, "array": "signal"}).code == "DATA_MISSING_FIELD"
    assert code(tmp_path, {**source, "array": "signals"}).code == "DATA_SHAPE"
    (tmp_path / "all.npz").write_bytes(b"PK\x03\x04 broken")
    assert code(tmp_path, {**source, "array": "signals"}).code == "DATA_ARRAY"


def test_wav_files_have_their_own_rate(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "k1.wav", 8000, np.array([[1, 2], [3, 4]], np.int16))
    wavfile.write(tmp_path / "mono.wav", 8000, np.array([5, 6], np.int16))
    source = {"kind": "wav", "channels": ["left", "right"], "rate_hz": 8000}

    assert series(tmp_path, {**source, "path": "{key}.wav"}).values.tolist() == [[1, 3], [2, 4]]
    assert series(tmp_path, {**source, "channels": ["m"], "path": "mono.wav"}).values.tolist() == [[5, 6]]
    assert code(tmp_path, {**source, "path": "{key}.wav", "rate_hz": 16000}).code == "DATA_RATE"
    (tmp_path / "k1.wav").write_bytes(b"RIFFnothing")
    assert code(tmp_path, {**source, "path": "{key}.wav"}).code == "DATA_WAV"


def test_files_texts_and_cells(tmp_path: Path) -> None:
    (tmp_path / "k1.png").write_bytes(b"\x89PNG")
    (tmp_path / "k1.txt").write_text("\ufeffgrüße", encoding="utf-8")

    assert read(tmp_path, {"kind": "file", "path": "{key}.png"}) == b"\x89PNG"
    assert read(tmp_path, {"kind": "text_file", "path": "{key}.txt"}) == "grüße"
    assert read(tmp_path, {"kind": "column", "column": "note"}, note="{key}") == "{key}"


@pytest.mark.parametrize(
    "source", [{"kind": "file", "path": "{photo}"}, {"kind": "column", "column": "photo"}], ids=["file", "column"]
)
def test_absent_is_none_where_allowed_and_an_error_elsewhere(tmp_path: Path, source: dict[str, object]) -> None:
    assert read(tmp_path, {**source, "optional": True}, photo="") is None
    assert code(tmp_path, source, photo="").code == "DATA_MISSING_MODALITY"


def test_a_file_that_does_not_exist_is_absent_only_where_allowed(tmp_path: Path) -> None:
    source = {"kind": "file", "path": "{key}.png"}

    assert read(tmp_path, {**source, "optional": True}) is None
    assert code(tmp_path, source).code == "DATA_MISSING_FILE"
    named = {"kind": "file", "path": "{photo}", "optional": True}  # the cell promises a file
    assert code(tmp_path, named, photo="lost.png").code == "DATA_MISSING_FILE"


@pytest.mark.parametrize(
    "change",
    [
        {"channels": ["x", "x"]},
        {"channels": []},
        {"layout": "CC"},
        {"layout": "TT"},
        {"reference": ["z"]},
        {"select": ["z"]},
        {"channels": ["x", "y", "z"], "reference": ["x", "y"]},
        {"crop_s": [2, 1]},
        {"rate_hz": 0},
        {"resample_hz": 1e-6},
        {"path": ""},
    ],
)
def test_descriptions_that_cannot_work_are_refused_before_any_file_is_read(change: dict[str, object]) -> None:
    document = {"kind": "npy", "path": "{key}.npy", "layout": "TC", **XY, **change}

    with pytest.raises(ValidationError):
        TypeAdapter(AnySource).validate_python(document)
