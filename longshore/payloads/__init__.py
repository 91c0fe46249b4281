"""Where large values lie: a folder or S3, behind one protocol. It never reads a setting by itself."""

from __future__ import annotations

from longshore.core.errors import SettingsError
from longshore.payloads.cargo import INLINE_LIMIT, AsyncCargo, Cargo, read_probe, write_probe
from longshore.payloads.folder import FolderStore, folder_of
from longshore.payloads.store import PayloadStore

__all__ = [
    "INLINE_LIMIT",
    "AsyncCargo",
    "Cargo",
    "PayloadStore",
    "open_store",
    "read_probe",
    "write_probe",
]


def open_store(
    url: str,
    *,
    endpoint_url: str | None = None,
    region: str | None = None,
    access_key_id: str | None = None,
    secret_access_key: str | None = None,
    addressing_style: str | None = None,
) -> PayloadStore:
    """The store at `file:PATH` or `s3://bucket/prefix`; nothing is touched yet. Raises SettingsError for others."""
    if url.startswith("file:"):
        return FolderStore(folder_of(url))
    if url.startswith("s3:"):
        from longshore.payloads.s3 import S3Store, s3_options

        given = {
            "endpoint_url": endpoint_url,
            "region": region,
            "access_key_id": access_key_id,
            "secret_access_key": secret_access_key,
            "addressing_style": addressing_style,
        }
        return S3Store(s3_options(url, **given))
    raise SettingsError("LONGSHORE_PAYLOAD_URL", f"{url!r} is neither file:PATH nor s3://bucket/prefix")
