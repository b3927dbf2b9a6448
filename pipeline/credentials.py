"""Credentials in texts that are recorded or shown: how to tell and how to hide them."""

import re

_WORDS = r"(?:token(?!iz)|secret|passw|credential|api_?key|access_?key|signature)"
_USER = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_QUERY = re.compile(rf"(?<=[?&])([^=&\s]*{_WORDS}[^=&\s]*=)[^&\s\"'#]+", re.IGNORECASE)
_NAME = re.compile(_WORDS, re.IGNORECASE)


def redact(text: str) -> str:
    """Hide the user part of URLs, and tokens in their query.

    >>> redact("postgresql://me:pw@db/x?sslpassword=pw&a=b")
    'postgresql://***@db/x?sslpassword=***&a=b'
    """
    return _QUERY.sub(r"\1***", _USER.sub("***", text))


def names_secret(name: str) -> bool:
    """True for a name whose value should not be shown.

    >>> names_secret("hub_token"), names_secret("tokenizer_path"), names_secret("key")
    (True, False, False)
    """
    return _NAME.search(name) is not None
