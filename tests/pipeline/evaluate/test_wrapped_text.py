import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluate.wrapped_text import wrap


def width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


@given(st.text(max_size=200), st.integers(4, 30), st.integers(1, 6))
def test_nothing_leaves_its_panel(text: str, columns: int, lines: int) -> None:
    found = wrap(text, columns=columns, lines=lines).split("\n")

    assert len(found) <= lines
    assert all(width(line) <= columns for line in found)
    assert all(unicodedata.category(c)[0] != "C" for line in found for c in line)


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=9), max_size=30))
def test_no_word_is_lost_while_there_is_room(words: list[str]) -> None:
    assert wrap(" ".join(words), columns=9, lines=40).split() == words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one two three four", "one two\nthree…"),
        ("abcdefghijkl", "abcdefghi\njkl"),
        ("a\nb\tc\0d", "a b c d"),
        ("right\u202eleft\u200b", "right\nleft"),
        ("日本語日本語", "日本語日\n本語"),
        ("", ""),
    ],
)
def test_lines_break_at_words(text: str, shown: str) -> None:
    assert wrap(text, columns=9, lines=2) == shown
