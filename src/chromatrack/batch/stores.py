"""Which kind of store a path asks for."""

from __future__ import annotations

from chromatrack.batch.cloud_store import CloudStore
from chromatrack.batch.remote import is_remote
from chromatrack.batch.store import Store


def open_store(path: str, driver: str) -> Store:
    """Make or find a store: on a local path, or at a URL that fsspec knows.

    Raises:
        InputError: something else is there, or fsspec is not. OutputError: it cannot be written.
    """
    store = CloudStore(path, driver) if is_remote(path) else Store(path, driver)
    store.make()
    return store
