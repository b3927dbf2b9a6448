"""Writes the catalogues of objectives and heads, read from the code, into the README.

python -m tests.readme_catalogue
"""

import re
from pathlib import Path

from jobs.catalogue import head_rows, objective_rows

README = Path(__file__).parents[1] / "README.md"
_CATALOGUES = {"objectives": objective_rows, "heads": head_rows}


def with_catalogues(text: str) -> str:
    """The text with a Markdown table between the marks of each catalogue."""
    for name, rows in _CATALOGUES.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        block = "\n".join([begin, *_markdown(rows()), end])
        text, found = re.subn(f"{begin}.*?{end}", lambda match, block=block: block, text, flags=re.DOTALL)
        assert found == 1, name
    return text


def _markdown(rows: list[tuple[str, ...]]) -> list[str]:
    header, *members = rows
    return [_line(header), "|" + "---|" * len(header), *map(_line, members)]


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    README.write_text(with_catalogues(README.read_text(encoding="utf-8")), encoding="utf-8")
