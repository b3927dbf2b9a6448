"""WFDB, EDF and HDF5: real files by the libraries themselves, and what is refused about them."""

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import edfio
import h5py
import numpy as np
import pytest
import wfdb

from pipeline.errors import KindredError
from tests.pipeline.data.test_sources import read, series

NOON_NS = 1_793_016_000 * 10**9  # 2026-10-26T12:00:00Z
NOON_IN_KATHMANDU = datetime(2026, 10, 26, 17, 45)  # noqa: DTZ001 - recorders know no zone
VALUES = np.random.default_rng(0).normal(size=(3, 200))
NAMES = ["EEG Fpz", "ECG", "resp"]
SOURCE = {"channels": ["resp", "EEG Fpz"], "rate_hz": 100, "ignore": ["ECG"]}


def write_edf(path: Path, *, rates: tuple[int, ...] = (100, 100, 100), start: datetime = NOON_IN_KATHMANDU) -> None:
    signals = [
        edfio.EdfSignal(VALUES[i, : 2 * rate], rate, label=name, physical_dimension="uV", physical_range=(-5, 5))
        for i, (name, rate) in enumerate(zip(NAMES, rates, strict=True))
    ]
    recording = edfio.Recording(startdate=start.date())
    edfio.Edf(signals, starttime=start.time(), recording=recording).write(path)


def write_wfdb(folder: Path, *, start: datetime | None = NOON_IN_KATHMANDU) -> None:
    folder.mkdir(exist_ok=True)
    wfdb.wrsamp(
        "k1", fs=100, units=["uV"] * 3, sig_name=NAMES, p_signal=VALUES.T, fmt=["16"] * 3,
        base_date=None if start is None else start.date(), base_time=None if start is None else start.time(),
        write_dir=str(folder),
    )  # fmt: skip


FORMS = {
    "edf": {"kind": "edf", "path": "{key}.edf", **SOURCE},
    "wfdb": {"kind": "wfdb", "path": "{key}.hea", **SOURCE},
}


@pytest.fixture(params=["edf", "wfdb"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    write_edf(tmp_path / "k1.edf")
    write_wfdb(tmp_path)
    return FORMS[request.param]


def refused(root: Path, source: dict[str, object], **row: str) -> KindredError:
    with pytest.raises(KindredError) as caught:
        read(root, source, **row)
    return caught.value


def test_channels_are_found_by_name(tmp_path: Path, source: dict[str, object]) -> None:
    found = series(tmp_path, source)

    np.testing.assert_allclose(found.values, VALUES[[2, 0]], atol=2e-4)
    assert (found.rate_hz, found.first_ns) == (100, None)


def test_names_units_and_rate_must_agree(tmp_path: Path, source: dict[str, object]) -> None:
    assert series(tmp_path, {**source, "units": ["uV", "uV"], "rate_hz": 100.4}).rate_hz == 100.4
    assert refused(tmp_path, {**source, "units": ["uV", "mV"]}).code == "DATA_UNITS"
    assert refused(tmp_path, {**source, "channels": ["resp", "EEG Cz"]}).code == "DATA_CHANNELS"
    assert refused(tmp_path, {**source, "ignore": []}).code == "DATA_CHANNELS"
    rate = refused(tmp_path, {**source, "rate_hz": 99})
    assert (rate.code, rate.expected, rate.got) == ("DATA_RATE", 99, 100)


def test_the_start_is_utc_where_the_zone_is_given(tmp_path: Path, source: dict[str, object]) -> None:
    assert series(tmp_path, {**source, "zone": "Asia/Kathmandu"}).first_ns == NOON_NS
    assert series(tmp_path, {**source, "zone": "UTC"}).first_ns == NOON_NS + (5 * 60 + 45) * 60 * 10**9


@pytest.mark.fault("D35")
@pytest.mark.parametrize(("hour", "zone"), [(2, "Europe/Berlin"), (1, "Europe/London")])
def test_a_start_in_the_hour_that_comes_twice_is_refused(tmp_path: Path, hour: int, zone: str) -> None:
    write_edf(tmp_path / "k1.edf", start=datetime(2025, 10, 26, hour, 30))  # noqa: DTZ001

    assert refused(tmp_path, {**FORMS["edf"], "zone": zone}).code == "DATA_TIME"
    assert series(tmp_path, {**FORMS["edf"], "zone": "UTC"}).first_ns is not None


def test_damaged_files_are_refused(tmp_path: Path, source: dict[str, object]) -> None:
    data = tmp_path / ("k1.edf" if source["kind"] == "edf" else "k1.dat")
    os.truncate(data, data.stat().st_size - 700)
    assert refused(tmp_path, source).code in {"DATA_TRUNCATED", "DATA_EDF", "DATA_WFDB"}
    (tmp_path / str(source["path"]).replace("{key}", "k1")).write_bytes(b"\x00\xff" * 200)
    assert refused(tmp_path, source).code in {"DATA_EDF", "DATA_WFDB"}


@pytest.mark.fault("D36")
def test_channels_of_two_rates_are_two_streams(tmp_path: Path) -> None:
    write_edf(tmp_path / "k1.edf", rates=(100, 50, 50))

    assert refused(tmp_path, FORMS["edf"]).code == "DATA_RATE"
    one = {**FORMS["edf"], "channels": ["EEG Fpz"], "ignore": "all"}
    assert series(tmp_path, one).values.shape == (1, 200)


@pytest.mark.parametrize("name", ["../secret.dat", "/etc/passwd"])
def test_a_header_cannot_name_files_elsewhere(tmp_path: Path, name: str) -> None:
    write_wfdb(tmp_path / "raw")
    (tmp_path / "raw" / "k1.dat").rename(tmp_path / "secret.dat")
    header = tmp_path / "raw" / "k1.hea"
    header.write_text(header.read_text().replace("k1.dat", name))

    assert refused(tmp_path / "raw", FORMS["wfdb"]).code in {"SEC_PATH", "DATA_WFDB"}


def test_a_header_cannot_ask_for_memory(tmp_path: Path) -> None:
    write_wfdb(tmp_path)
    header = tmp_path / "k1.hea"
    header.write_text(header.read_text().replace("100 200", "100 99999999999"))

    assert refused(tmp_path, FORMS["wfdb"]).code in {"DATA_TRUNCATED", "DATA_TOO_LARGE"}


HDF5 = {"kind": "hdf5", "path": "all.h5", "dataset": "{key}/acc", "layout": "CT", "channels": ["x", "y", "z"]}


def test_hdf5_data_sets_of_one_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file.create_dataset("k1/acc", data=VALUES, compression="gzip").attrs["fs"] = 100.0

    found = series(tmp_path, {**HDF5, "rate_hz": 100, "rate_attribute": "fs"})

    np.testing.assert_array_equal(found.values, VALUES.astype(np.float32))
    assert refused(tmp_path, {**HDF5, "rate_hz": 50, "rate_attribute": "fs"}).code == "DATA_RATE"
    assert refused(tmp_path, {**HDF5, "rate_hz": 50, "rate_attribute": "hz"}).code == "DATA_MISSING_FIELD"
    assert refused(tmp_path, {**HDF5, "rate_hz": 50, "dataset": "k2/acc"}).code == "DATA_MISSING_FIELD"
    assert refused(tmp_path, {**HDF5, "rate_hz": 50, "dataset": "k1"}).code == "DATA_DTYPE"


def test_hdf5_links_external_and_huge_data_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(4800))
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file["a"] = h5py.ExternalLink("other.h5", "/x")
        file["b"] = h5py.SoftLink("/c")
        file.create_dataset("c", (3, 200), "f8", external=[(str(tmp_path / "secret"), 0, 4800)])
        file.create_dataset("d", (3, 10**12), "f4", chunks=(3, 1000))
        file.create_dataset("e", data=["text"])

    for name, expected in [
        ("a", "SEC_PATH"),
        ("b", "SEC_PATH"),
        ("c", "SEC_PATH"),
        ("d", "DATA_TOO_LARGE"),
        ("e", "DATA_DTYPE"),
    ]:
        assert refused(tmp_path, {**HDF5, "rate_hz": 100, "dataset": name}).code == expected
    os.truncate(tmp_path / "all.h5", 100)
    assert refused(tmp_path, {**HDF5, "rate_hz": 100, "dataset": "a"}).code == "DATA_HDF5"


_WITHOUT = """
import sys
from pathlib import Path
sys.modules[{module!r}] = None
from pipeline.data.sources import AnySource
from pipeline.errors import EnvironmentFault
from tests.pipeline.data.test_sources import read
try:
    read(Path.cwd(), {source!r})
except EnvironmentFault as error:
    print(error.code, error.fix)
"""


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "k1.edf").write_bytes(b"x")
    code = _WITHOUT.format(module="edfio", source=FORMS["edf"])

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip

    assert done.stdout == "ENV_MISSING_PACKAGE pip install 'kindred[edf]'\n"
