"""What can go wrong on the way, from whichever library: one exception that says whether to try again."""

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import KindredError, SecurityError

_RETRIED_STATUS = {408, 425, 429}
_TRANSPORT = {"aiohttp", "aiobotocore", "botocore", "gcsfs", "google"}
_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"}


class TransferFailed(Exception):
    """A request or a transfer that failed. permanent: trying again cannot help."""

    def __init__(self, reason: str, *, permanent: bool) -> None:
        super().__init__(reason)
        self.permanent = permanent


@contextmanager
def explained() -> Iterator[None]:
    """Failures of transport become TransferFailed with a reason that holds no URL; our own errors come through."""
    try:
        yield
    except KindredError:
        raise
    except Exception as error:
        if (refusal := _refusal(error)) is not None:
            raise refusal from error
        if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in _TRANSPORT:
            raise
        status = getattr(error, "status", None) or _s3_status(error)
        refused = status is not None and 400 <= status < 500 and status not in _RETRIED_STATUS
        permanent = refused or isinstance(error, FileNotFoundError) or type(error).__name__ in _CREDENTIALS
        raise TransferFailed(_reason(error, status), permanent=permanent) from error


def _reason(error: Exception, status: int | None) -> str:
    if isinstance(error, TimeoutError):
        return "nothing arrived in time"
    return type(error).__name__ if status is None else f"status {status}"


def _refusal(error: BaseException) -> SecurityError | None:
    """What our resolver raised: botocore wraps every exception in its own."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        if isinstance(cause, SecurityError):
            return cause
        seen.append(cause)
        cause = getattr(cause, "kwargs", {}).get("error") or cause.__cause__ or cause.__context__
    return None


def _s3_status(error: BaseException) -> int | None:
    """Status of a botocore ClientError, which s3fs turns into an OSError."""
    for found in (error, error.__cause__):
        if isinstance(reply := getattr(found, "response", None), dict):
            return reply.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return None
