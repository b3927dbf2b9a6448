"""Packages that only some raw formats, or exports, need."""

import importlib
from types import ModuleType

from pipeline.errors import EnvironmentFault


def need(module: str, *, extra: str) -> ModuleType:
    """The module. Raises EnvironmentFault naming the extra of this distribution that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise EnvironmentFault(
            f"this needs the package {module}, which is not installed or cannot be imported",
            code="ENV_MISSING_PACKAGE",
            got=str(error),
            fix=f"pip install 'kindred[{extra}]'",
        ) from error
