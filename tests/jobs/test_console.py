import io
import re

import pytest

from jobs._console import Console, pace, plain_table, result_cells, training_line
from pipeline.evaluate.results import ResultRow

ROWS = [
    ResultRow("linear", "fused", 1, 0.5, sd=0.021, shots=2),
    ResultRow("linear", "fused", 100, 0.912, low=0.9, high=0.925, f1=0.907),
    ResultRow("features", "fused", 100, 0.7),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_training_lines_are_aligned_and_keep_their_order() -> None:
    lines = [
        training_line(
            10, 5000, {"learning_rate": 1e-5, "loss/intra/imu": 12.5, "loss/total": 0.5, "gradient_norm": 3.0}
        ),
        training_line(
            5000, 5000, {"gradient_norm": 99.25, "loss/total": 11.0, "loss/intra/imu": 0.01, "learning_rate": 0.0}
        ),
    ]

    assert lines[0] == "step   10/5000  loss  0.500  intra/imu 12.500  gradient_norm  3.000  learning_rate 1.0e-05"
    assert lines[1] == "step 5000/5000  loss 11.000  intra/imu  0.010  gradient_norm 99.250  learning_rate  0.000"


def test_many_terms_become_a_mean_per_objective() -> None:
    terms = {f"loss/cross/{pair}": value for pair, value in (("a-b", 1.0), ("a-c", 2.0), ("b-c", 6.0))}

    line = training_line(1, 2, {"loss/total": 2.5, **terms, "loss/intra/a": 1.0, "loss/intra/b": 3.0})

    assert line == "step 1/2  loss  2.500  cross  3.000  intra  2.000"


def test_the_console_shows_losses_not_monitors() -> None:
    stream = io.StringIO()
    console = Console(stream)

    console.training(50, 100, {"health/imu/std": 1.0})
    console.training(50, 100, {"health/imu/std": 1.0, "loss/total": 2.0})

    assert stream.getvalue() == "step  50/100  loss  2.000\n"


def test_plain_results_line_up() -> None:
    stream = io.StringIO()

    Console(stream).results(ROWS, title="demo")

    title, header, rule, *body = stream.getvalue().splitlines()
    assert title == "demo"
    assert rule == "-" * len(header)
    assert [re.split(r"\s{2,}", line) for line in body] == [
        ["Kindred, linear probe", "fused", "1 % (≥ 2 a class)", "50.0", "2.1"],
        ["Kindred, linear probe", "fused", "100 %", "91.2", "90.0 - 92.5", "90.7"],
        ["Hand-made features", "fused", "100 %", "70.0"],
    ]
    assert {line.index(value) for line, value in zip(body, ("50.0", "91.2", "70.0"), strict=True)} == {
        header.index("accuracy") + 4
    }


def test_a_terminal_gets_the_same_cells() -> None:
    stream = Terminal()

    Console(stream).results(ROWS, title="[red]demo[/red]")
    Console(stream).settings("run", {"streams": "imu [bold]x[/bold]"})

    text = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert "[red]demo[/red]" in text
    assert "imu [bold]x[/bold]" in text
    for row in result_cells(ROWS):
        assert all(word in text for cell in row for word in cell.split())  # a narrow terminal wraps cells


@pytest.mark.fault("S10")
@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_control_characters_never_reach_the_screen(kind: type[io.StringIO]) -> None:
    stream = kind()

    Console(stream).settings("a\x1b]0;title\x07", {"b\x1b[2J": "c\rd"})

    assert not re.search(r"\x1b\]|\x1b\[2J|\r|\x07", stream.getvalue())


def test_plain_progress_is_a_line_per_tenth_and_the_last() -> None:
    stream = io.StringIO()

    with Console(stream).progress("ingest", 1000) as advance:
        for done in range(1, 1001):
            advance(done)

    lines = [line.split("  ") for line in stream.getvalue().splitlines()]
    assert [line[0] for line in lines] == [f"ingest {done}/1000" for done in range(100, 1001, 100)]
    assert all(re.fullmatch(r"[0-9.e+]+/s", speed) and left.endswith(" s left") for _, speed, left in lines)


def test_pace_speaks_of_what_this_run_did() -> None:
    assert pace(50, 100, 10.0) == "5/s  10 s left"
    assert pace(1, 1000, 10.0) == "0.1/s  2 h 46 min left"
    assert pace(0, 1000, 10.0) == ""


def test_terminal_progress_reaches_the_end() -> None:
    stream = Terminal()

    with Console(stream).progress("ingest [x]", 3) as advance:
        for done in range(1, 4):
            advance(done)

    assert "ingest [x]" in stream.getvalue()
    assert "3/3" in stream.getvalue()


def test_plain_table_of_ragged_widths() -> None:
    assert plain_table([("a", "b", "c"), ("long", "x", "10")]) == "a     b   c\n-----------\nlong  x  10"
