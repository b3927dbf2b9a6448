"""The README lists every objective and head as the code has them; `python -m tests.readme_catalogue` writes it."""

from tests.readme_catalogue import README, with_catalogues


def test_the_readme_lists_what_the_code_has() -> None:
    text = README.read_text(encoding="utf-8")

    assert with_catalogues(text) == text
