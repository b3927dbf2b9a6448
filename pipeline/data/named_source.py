"""Series whose files name their channels, in any order."""

from typing import Literal

from pipeline.data.series import SeriesSource
from pipeline.errors import DataError


class NamedSource(SeriesSource):
    """Base of the sources whose files name their channels."""

    ignore: tuple[str, ...] | Literal["all"] = ()
    """Further channels of the file that are left out on purpose; all leaves out whatever is not named."""

    def wanted(self, header: list[str], *more: str) -> list[str]:
        """The names to read: the channels, then `more`. Raises DataError for missing, unexpected and repeated ones."""
        wanted = [*self.names, *more]
        missing = [name for name in wanted if name not in header]
        ignored = header if self.ignore == "all" else self.ignore
        extra = [name for name in header if name not in wanted and name not in ignored]
        twins = sorted({name for name in header if header.count(name) > 1 and (name in wanted or self.ignore != "all")})
        if missing or extra or twins:
            raise DataError(
                f"columns missing: {missing}, unexpected: {extra}, repeated: {twins}",
                code="DATA_CHANNELS",
                expected=wanted,
                got=header[:100],
                fix="name every column under channels, or leave it out with ignore",
            )
        return wanted
