"""Untrusted text broken into lines of a panel."""

import unicodedata


def wrap(text: str, *, columns: int, lines: int) -> str:
    """At most `lines` lines of `columns` columns; wide characters take two, words longer than a line are cut.

    What does not fit ends in an ellipsis. Line breaks and characters that are no glyphs become blanks.

    >>> wrap("steady lift of a crate", columns=11, lines=2)
    'steady lift\\nof a crate'
    >>> wrap("steady lift of a crate", columns=11, lines=1)
    'steady lif…'
    """
    broken: list[str] = [""]
    for word in "".join(c if _is_glyph(c) else " " for c in text).split():
        for piece in _pieces(word, columns):
            if broken[-1] and _width(broken[-1]) + 1 + _width(piece) <= columns:
                broken[-1] += f" {piece}"
            elif broken[-1]:
                broken.append(piece)
            else:
                broken[-1] = piece
    if len(broken) <= lines:
        return "\n".join(broken)
    last = broken[lines - 1]
    while _width(last) > columns - 1:
        last = last[:-1]
    return "\n".join([*broken[: lines - 1], f"{last}…"])


def _pieces(word: str, columns: int) -> list[str]:
    pieces = [""]
    for character in word:
        if pieces[-1] and _width(pieces[-1]) + _width(character) > columns:
            pieces.append("")
        pieces[-1] += character
    return pieces


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _is_glyph(character: str) -> bool:
    """No controls, surrogates, direction marks and the like, which reorder or hide other text."""
    return unicodedata.category(character)[0] != "C"
