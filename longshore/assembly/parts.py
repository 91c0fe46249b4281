"""Single parts made from the settings. It starts nothing."""

from __future__ import annotations

from longshore.payloads import Cargo, PayloadStore, open_store
from longshore.settings import Settings


def payload_options(settings: Settings) -> dict[str, str | None]:
    """The arguments of `payloads.open_store` that the settings say: for processes that open the store themselves."""
    secret = settings.s3_secret_access_key
    return {
        "url": settings.payload_url,
        "endpoint_url": settings.s3_endpoint_url,
        "region": settings.s3_region,
        "access_key_id": settings.s3_access_key_id,
        "secret_access_key": secret.get_secret_value() if secret else None,
        "addressing_style": settings.s3_addressing_style,
    }


def payload_store(settings: Settings) -> PayloadStore:
    """The payload store that the settings name; nothing is touched yet."""
    return open_store(**payload_options(settings))  # type: ignore[arg-type]  # its own keywords


def cargo(settings: Settings) -> Cargo:
    """Values on their way through that store."""
    return Cargo(payload_store(settings), settings.payload_inline_limit)
