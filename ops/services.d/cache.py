"""The cache of fetched software, one folder a version, shared by all checkouts of a user.

A folder appears under its name only when it is complete: it is filled beside it
and renamed, so an interrupted fetch leaves nothing that looks whole.
"""

import os
import pathlib
import shutil

from machine import exclusive


def cache_dir():
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("RELAY_SERVICES_CACHE") or pathlib.Path(home) / "relay-services").absolute()


def cached(prefix):
    """The newest complete folder `prefix-VERSION`, or None."""
    found = [path for path in cache_dir().glob(f"{prefix}-*") if path.is_dir() and not path.name.endswith(".part")]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def version_of(folder, prefix):
    return folder.name[len(prefix) + 1:]


def fill(prefix, fetch):
    """The cached folder of `prefix`; when there is none, fetch(part) fills `part` and returns the version."""
    folder = cached(prefix)
    if folder:
        return folder
    with exclusive(cache_dir() / f"{prefix}.lock", f"another fetch of {prefix}"):
        folder = cached(prefix)
        if folder:
            return folder
        part = cache_dir() / f"{prefix}-new.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        version = fetch(part)
        folder = cache_dir() / f"{prefix}-{version}"
        part.rename(folder)
        return folder
