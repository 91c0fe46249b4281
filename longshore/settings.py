"""Settings: `LONGSHORE_*` and `[longshore]` in longshore.toml, read once by whoever starts something, never on import.

Arguments win over the environment, the environment over the file, the file over the defaults. What is wrong is a
SettingsError that names the variable and says what is allowed; it never repeats a password or a key.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from longshore.core.durations import duration
from longshore.core.errors import SettingsError, UsageError, nearest
from longshore.core.keeping import keep_of

PREFIX: Final = "LONGSHORE_"
FILE: Final = "longshore.toml"
LARGEST_INLINE: Final = 512 * 1024
"""A message holds at most 1 MiB, so an inline value gets half of one at most."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}", re.ASCII)
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)


def _name(value: object) -> object:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _refused(f"{value!r} is not a name; allowed: a letter, then letters, digits, `_` and `-`, 64 at most")
    return value


def _length(value: object) -> object:
    try:
        length = duration(value)  # type: ignore[arg-type]  # it refuses what it cannot read
    except UsageError as error:
        raise _refused(str(error)) from None
    if not length:
        raise _refused(f"{value!r} is no time at all; give a duration over 0")
    return length


def _retention(value: object) -> object:
    try:
        keep_of(value if isinstance(value, str) else repr(value))
    except UsageError as error:
        raise _refused(str(error)) from None
    return value


def _broker(value: object) -> object:
    url = _split(value, "amqp://USER:PASSWORD@HOST/VHOST, amqps://... or local:PATH")
    if url.scheme == "local" and url.path and not url.netloc:
        return value
    if url.scheme in ("amqp", "amqps") and url.hostname:
        return value
    allowed = (
        "amqp://USER:PASSWORD@HOST:PORT/VHOST, amqps://... or local:PATH (the socket of a running `longshore dev`)"
    )
    raise _refused(f"a URL of scheme {url.scheme!r} without what it needs; allowed: {allowed}")


def _store(value: object) -> object:
    url = _split(value, "sqlite:///PATH")
    if url.scheme.partition("+")[0] in ("postgresql", "postgres"):
        raise _refused("PostgreSQL is not supported by this version; allowed: sqlite:///PATH")
    if url.scheme != "sqlite" or url.netloc:
        raise _refused(f"a URL of scheme {url.scheme!r} is not a ledger store; allowed: sqlite:///PATH")
    if url.path.strip("/") in ("", ":memory:"):
        raise _refused("the ledger must outlive its process, so it needs a file; allowed: sqlite:///PATH")
    return value


def _payloads(value: object) -> object:
    url = _split(value, "file:PATH or s3://BUCKET/PREFIX")
    if url.scheme == "file" and url.path.strip("/") and url.netloc in ("", "localhost"):
        return value
    if url.scheme == "s3" and _BUCKET.fullmatch(url.netloc):
        return value
    raise _refused(f"a URL of scheme {url.scheme!r} without what it needs; allowed: file:PATH or s3://BUCKET/PREFIX")


def _endpoint(value: object) -> object:
    url = _split(value, "http://HOST:PORT or https://HOST")
    if url.scheme in ("http", "https") and url.hostname:
        return value
    raise _refused("not the address of an S3 service; allowed: http://HOST:PORT or https://HOST")


def _split(value: object, allowed: str) -> SplitResult:
    if not isinstance(value, str) or not value:
        raise _refused(f"not a URL; allowed: {allowed}")
    try:
        url = urlsplit(value)
        _ = url.port
    except ValueError:  # a port that is no number, a bracket that does not close; the text may hold a password
        raise _refused(f"a URL that cannot be read; allowed: {allowed}") from None
    return url


def _listener(value: object) -> object:
    try:
        if isinstance(value, str):
            host_and_port(value)
            return value
    except ValueError:
        pass
    raise _refused(f"{value!r} is not an address to listen on; allowed: HOST:PORT, e.g. 127.0.0.1:8600 or [::1]:8600")


def _refused(text: str) -> PydanticCustomError:
    return PydanticCustomError("longshore", "{text}", {"text": text})


def _checked(check: Callable[[object], object]) -> BeforeValidator:
    return BeforeValidator(check)


Name = Annotated[str, _checked(_name)]
Length = Annotated[timedelta, _checked(_length)]


class Settings(BaseSettings):
    """Everything that can be set, checked and frozen. Make it with `load`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", validate_default=False
    )

    namespace: Name = "longshore"
    project: Name = "default"
    broker_url: Annotated[str, _checked(_broker)] | None = None
    """None: decided where the parts are put together (the bus of a running `dev`, else RabbitMQ on this machine)."""
    store_url: Annotated[str, _checked(_store)] = "sqlite:///.longshore/ledger.db"
    payload_url: Annotated[str, _checked(_payloads)] = "file:.longshore/payloads"
    payload_inline_limit: Annotated[int, Field(ge=0, le=LARGEST_INLINE)] = 65_536
    s3_endpoint_url: Annotated[str, _checked(_endpoint)] | None = None
    s3_region: str | None = None
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None
    s3_addressing_style: Literal["auto", "path", "virtual"] | None = None
    heartbeat: Length = timedelta(seconds=2)
    unresponsive_after: Length = timedelta(seconds=10)
    lease: Length = timedelta(seconds=30)
    suspend_after: Length = timedelta(minutes=5)
    """Workflows that have waited this long in a worker are put away."""
    max_hanging: Annotated[int, Field(ge=1)] = 10_000
    """How many workflows a worker process holds before it puts some of them away."""
    pump_limit: Length = timedelta(seconds=30)
    """A workflow that computes this long without waiting for anything is ended as FAILED."""
    store_patience: Length = timedelta(seconds=60)
    """How long the coordinator waits for a store that does not answer, taking nothing, before it ends."""
    retention: Annotated[str, _checked(_retention)] = "30d,1000000"
    """How long runs are kept that have ended, and how many: an age, a number, both, or off."""
    payload_grace: Length = timedelta(days=1)
    """How long objects in the payload store outlive the end of their run at least."""
    events: bool = True
    """Whether changes of runs are published to the exchange `{ns}.events` while somebody is bound to it."""
    event_path: bool = True
    """A test mode when off: messages set nothing in motion, the reconciler alone finds what is to be done."""
    http_address: Annotated[str, _checked(_listener)] = "127.0.0.1:8600"

    @model_validator(mode="after")
    def _silence_has_an_order(self) -> Settings:
        if not self.heartbeat * 2 <= self.unresponsive_after:
            raise _refused("UNRESPONSIVE_AFTER|must be at least twice the heartbeat, or healthy workers look silent")
        if not self.unresponsive_after < self.lease:
            raise _refused("LEASE|must be longer than unresponsive_after: a worker is silent before it is lost")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, _from_file(Path(FILE)))

    def __repr_args__(self) -> Any:
        """The fields for `repr`, without passwords in addresses."""
        for name, value in super().__repr_args__():
            yield name, redacted(value) if isinstance(value, str) and (name or "").endswith("_url") else value


def load(**overrides: Any) -> Settings:
    """The settings in force here and now: `overrides` (None means not given), environment, longshore.toml, defaults.

    Raises SettingsError naming the variable and what is allowed.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise _first_problem(error) from None


def redacted(url: str) -> str:
    """The URL without its password, fit for logs and pages."""
    head, at, tail = url.rpartition("@")
    scheme, slashes, user = head.partition("://")
    if not at or not slashes:
        return url
    return f"{scheme}://{user.partition(':')[0]}:***@{tail}" if ":" in user else url


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts of HOST:PORT, an IPv6 host without its brackets. Raises ValueError when it is none."""
    url = urlsplit(f"//{address}")
    if url.hostname is None or url.port is None or url.path or url.query or url.fragment or "@" in address:
        raise ValueError(f"{address!r} is not HOST:PORT")
    return url.hostname, url.port


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """What is wrong with each LONGSHORE_* name that is no setting. Nothing refuses them: they may be others'."""
    said = []
    for name in sorted(environment):
        field = name.upper().removeprefix(PREFIX).lower()
        if not name.upper().startswith(PREFIX) or field in Settings.model_fields:
            continue
        meant = ", ".join(variable(one) for one in nearest(field, list(Settings.model_fields)))
        said.append(f"{name} is no setting" + (f"; did you mean {meant}?" if meant else ""))
    return said


def _from_file(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(FILE, f"cannot be read ({error}); correct it or remove it") from None
    table = document.get("longshore", {})
    if not isinstance(table, dict):
        raise SettingsError(FILE, "`longshore` must be a table: write [longshore] above the settings")
    for key in table:
        if key not in Settings.model_fields:
            raise _unknown(FILE, key)
    return table


def _first_problem(error: ValidationError) -> SettingsError:
    problem = error.errors(include_url=False)[0]
    field = str(problem["loc"][0]) if problem["loc"] else ""
    if problem["type"] == "extra_forbidden":
        return _unknown("settings", field)
    text = problem["msg"]
    if not field:
        name, _, text = text.partition("|")
        return SettingsError(PREFIX + name, text)
    if problem["type"] != "longshore":
        text = f"{text[0].lower()}{text[1:]}" + (f"; allowed: {_ALLOWED[field]}" if field in _ALLOWED else "")
    return SettingsError(variable(field), text)


_ALLOWED: Final = {
    "payload_inline_limit": f"a whole number of bytes from 0 to {LARGEST_INLINE}",
    "max_hanging": "a whole number of workflows, 1 or more",
    "s3_addressing_style": "auto, path or virtual",
}


def _unknown(where: str, key: str) -> SettingsError:
    known = list(Settings.model_fields)
    meant = nearest(key.lower(), known)
    advice = f"did you mean {', '.join(meant)}?" if meant else f"there are {', '.join(known)}"
    return SettingsError(where, f"no setting is called {key!r}; {advice}")
