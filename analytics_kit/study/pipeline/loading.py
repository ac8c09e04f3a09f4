"""Load all code that makes numbers at once, so that an upgrade never mixes two versions in a running process."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from analytics_kit.code_version import NUMBER_SOURCES, PACKAGE, code_version, read_code_version, source_files
from analytics_kit.errors import SettingsError


@cache
def load_numbers() -> None:
    """Import every module on which a number can depend.

    Raises SettingsError where the files are not those by which this process identifies its code any more.
    """
    for path in source_files(NUMBER_SOURCES):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        import_module(".".join((PACKAGE.name, *parts)).removesuffix(".__init__"))
    if read_code_version() != code_version():
        raise SettingsError(
            "analytics_kit was upgraded while this process was running, which has loaded only a part of it yet.",
            hint="Restart the process or kernel.",
        )
