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


def cached(prefix, version="*"):
    """The newest complete folder `prefix-VERSION`, or None."""
    found = [path for path in cache_dir().glob(f"{prefix}-{version}") if path.is_dir() and path.suffix != ".part"]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def fill(prefix, fetch, version="*"):
    """The cached folder of `prefix`; when there is none, fetch(part) fills `part` and returns the version.

    Without a version any cached one will do: what the archive offers changes by the week.
    """
    folder = cached(prefix, version)
    if folder:
        return folder
    with exclusive(cache_dir() / f"{prefix}.lock", f"another fetch of {prefix}"):
        folder = cached(prefix, version)
        if folder:
            return folder
        part = cache_dir() / f"{prefix}-new.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        folder = cache_dir() / f"{prefix}-{fetch(part)}"
        part.rename(folder)
        return folder
