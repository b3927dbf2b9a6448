"""What data.path means: paths stay paths, four schemes are URLs, everything else is refused without its secrets."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.place import DatasetUrl, absolute, parse_place, redact
from pipeline.errors import SecurityError

ODD_NAMES = ["a#b", "a?b=c", "a::b", "${HOME}", "name:with", "100%25", "a b", "{000..009}", "~x", "a@b", "*", "-x", "é"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_odd_name_is_a_local_folder(name: str) -> None:
    for text in (name, f"folder/{name}", f"/folder/{name}"):
        assert parse_place(text) == Path(text)


@pytest.mark.parametrize("text", ["./pipe:cat", "../http://host", "/s3://bucket", "~/file:x", "./-"])
def test_an_explicit_path_is_never_anything_else(text: str) -> None:
    assert parse_place(text) == Path(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket/a/b", DatasetUrl("s3", "bucket", None, "/a/b")),
        ("gs://bucket", DatasetUrl("gs", "bucket", None, "")),
        ("https://Host.Example.:8443/a%20b/", DatasetUrl("https", "host.example", 8443, "/a%20b")),
        ("http://[::1]:80/x", DatasetUrl("http", "::1", 80, "/x")),
    ],
)
def test_the_four_schemes_are_urls(text: str, expected: DatasetUrl) -> None:
    assert parse_place(text) == expected
    assert parse_place(str(expected)) == expected


@pytest.mark.fault("S03")
@pytest.mark.parametrize(
    "text",
    [
        "-",
        "pipe:cat /etc/passwd",
        "PIPE:touch canary",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "ftp://host/x",
        "ais://bucket/x",
        "data:text/plain,x",
        "memory://x",
        "HTTP://host/x",
        "github://user:repo@/x",
        "simplecache::s3://bucket/x",
        "filecache::http://host/x",
        "zip://x::http://host/x.zip",
        "name::http://host/x",
        "http://host/x::pipe:cat",
    ],
)
def test_other_schemes_and_chains_are_refused(text: str) -> None:
    with pytest.raises(SecurityError) as caught:
        parse_place(text)

    assert caught.value.code == "SEC_URL_SCHEME"
    assert caught.value.exit_code == 77


@pytest.mark.fault("S03")
@pytest.mark.parametrize(
    "text",
    [
        "http://user:hunter2@host/x",
        "http://host/x?token=hunter2",
        "https://host/x#hunter2",
        "s3://key:hunter2@bucket/x",
        "http://u:p/hunter2@host/x",
        "pipe:curl -H hunter2",
    ],
)
def test_a_refusal_names_no_secret(text: str) -> None:
    with pytest.raises(SecurityError) as caught:
        parse_place(text)

    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in str(caught.value.record())


@pytest.mark.parametrize(
    "text", ["http:///x", "http://host/../x", "http://ho st/x", "http://host//x", "s3://b/\n", "http://"]
)
def test_other_urls_than_plain_ones_are_refused(text: str) -> None:
    with pytest.raises(SecurityError):
        parse_place(text)


@given(st.text(max_size=40))
def test_anything_is_a_path_a_plain_url_or_refused(text: str) -> None:
    try:
        place = parse_place(text)
    except SecurityError:
        return
    if isinstance(place, DatasetUrl):
        assert place.scheme in {"s3", "gs", "http", "https"}
    else:
        assert place == Path(text)


@given(st.text(alphabet="ab:/?#@", max_size=30), st.text(alphabet="ab=&/?#", max_size=30))
def test_redaction_leaves_no_user_and_no_query(user: str, query: str) -> None:
    assert redact(f"https://{user}@host/path?{query}") == "https://host/path"


def test_only_a_path_depends_on_the_working_folder() -> None:
    assert absolute(Path("x")) == Path.cwd() / "x"
    assert absolute(parse_place("s3://b/x")) == parse_place("s3://b/x")
