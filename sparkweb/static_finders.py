"""Static files: only what pages use of the npm packages, with hashed names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import AppDirectoriesFinder, FileSystemFinder
from whitenoise.storage import CompressedManifestStaticFilesStorage


class ListedFilesFinder(FileSystemFinder):
    """STATICFILES_DIRS, but of a folder named in STATICFILES_LISTED only the files listed there."""

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        if not _is_listed(path):
            return [] if find_all else None
        return super().find(path, find_all=find_all, **kwargs)  # type: ignore[call-overload]

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[Any]:
        for path, storage in super().list(ignore_patterns):
            if _is_listed(str(Path(getattr(storage, "prefix", None) or "") / path)):
                yield path, storage

    def check(self, **kwargs: Any) -> Any:
        # Missing folders are told by sparkweb.checks, with what to do about them.
        return [message for message in super().check(**kwargs) if message.id != "staticfiles.W004"]


class UsedAppsFinder(AppDirectoriesFinder):
    """Static files of installed apps, but of those that bring what we take from npm."""

    unused_apps = ("django_htmx",)

    def __init__(self, app_names: Iterable[str] | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(app_names, *args, **kwargs)
        self.apps = [name for name in self.apps if name not in self.unused_apps]
        self.storages = {name: storage for name, storage in self.storages.items() if name in self.apps}


def _is_listed(path: str) -> bool:
    for prefix, names in settings.STATICFILES_LISTED.items():
        if path.startswith(prefix + "/"):
            return path.removeprefix(prefix + "/") in names
    return True


class ModuleManifestStorage(CompressedManifestStaticFilesStorage):
    """Hashed names, also in `import` lines of ES modules; compressed beside the originals.

    Comments that point to source maps stay as they are: maps are not collected.
    """

    support_js_module_import_aggregation = True
    patterns = tuple(
        (glob, tuple(rule for rule in rules if "sourceMappingURL" not in str(rule)))
        for glob, rules in CompressedManifestStaticFilesStorage.patterns
    )
