"""Settings: where they come from, who wins, and what is said about wrong ones."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from longshore.core.errors import SettingsError
from longshore.settings import LARGEST_INLINE, Settings, host_and_port, load, redacted


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("LONGSHORE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(text: str) -> None:
    Path("longshore.toml").write_text(text, encoding="utf-8")


def test_without_anything_the_documented_defaults_hold() -> None:
    settings = load()
    assert settings.model_dump() == {
        "namespace": "longshore",
        "project": "default",
        "broker_url": None,
        "store_url": "sqlite:///.longshore/ledger.db",
        "payload_url": "file:.longshore/payloads",
        "payload_inline_limit": 65536,
        "s3_endpoint_url": None,
        "s3_region": None,
        "s3_access_key_id": None,
        "s3_secret_access_key": None,
        "s3_addressing_style": None,
        "heartbeat": timedelta(seconds=2),
        "unresponsive_after": timedelta(seconds=10),
        "lease": timedelta(seconds=30),
        "suspend_after": timedelta(minutes=5),
        "max_hanging": 10_000,
        "pump_limit": timedelta(seconds=30),
        "store_patience": timedelta(seconds=60),
        "retention": "30d,1000000",
        "payload_grace": timedelta(days=1),
        "events": True,
        "event_path": True,
        "http_address": "127.0.0.1:8600",
    }


def test_arguments_win_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[longshore]\nnamespace = "file"\nproject = "file"\nlease = "1m"\npayload_inline_limit = 1')
    monkeypatch.setenv("LONGSHORE_NAMESPACE", "environment")
    monkeypatch.setenv("LONGSHORE_PROJECT", "environment")
    settings = load(namespace="argument", broker_url=None)
    assert (settings.namespace, settings.project) == ("argument", "environment")
    assert (settings.lease, settings.payload_inline_limit) == (timedelta(minutes=1), 1)


def test_an_argument_of_none_and_an_empty_variable_mean_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGSHORE_BROKER_URL", "")
    write('[longshore]\nbroker_url = "amqp://file/"')
    assert load(broker_url=None).broker_url == "amqp://file/"


def test_other_tables_and_other_variables_are_nobodys_business(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[other]\nnamespace = 3")
    monkeypatch.setenv("LONGSHORE_TEST_AMQP_URL", "amqp://somewhere/")
    assert load().namespace == "longshore"


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError):
        load().namespace = "other"


def test_a_secret_is_not_shown() -> None:
    settings = load(s3_secret_access_key="hush", broker_url="amqp://me:hush@host/", s3_endpoint_url="http://a:hush@h")
    assert "hush" not in repr(settings) and "hush" not in str(settings)
    assert settings.s3_secret_access_key is not None
    assert settings.s3_secret_access_key.get_secret_value() == "hush"


GOOD = [
    ("broker_url", "amqp://guest:guest@localhost/"),
    ("broker_url", "amqps://user@rabbit.example:5671/vhost"),
    ("broker_url", "amqp://[::1]:5672/"),
    ("broker_url", "local:.longshore/bus.sock"),
    ("broker_url", "local:/tmp/bus.sock"),
    ("store_url", "sqlite:////var/lib/ledger.db"),
    ("payload_url", "file:/var/lib/payloads"),
    ("payload_url", "file:///var/lib/payloads"),
    ("payload_url", "s3://bucket"),
    ("payload_url", "s3://bucket/some/prefix"),
    ("payload_inline_limit", "0"),
    ("s3_endpoint_url", "http://127.0.0.1:8333"),
    ("s3_addressing_style", "path"),
    ("lease", "10d"),
    ("heartbeat", "500ms"),
    ("heartbeat", "0.5"),
    ("http_address", "[::1]:8600"),
    ("http_address", "0.0.0.0:0"),
]


@pytest.mark.parametrize(("field", "text"), GOOD)
def test_a_right_value_is_taken_from_the_environment(field: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"LONGSHORE_{field.upper()}", text)
    assert getattr(load(), field) is not None


WRONG: list[tuple[str, Any, str]] = [
    ("namespace", "two words", "'two words' is not a name; allowed: a letter"),
    ("namespace", "a" * 65, "allowed: a letter"),
    ("project", "9lives", "allowed: a letter"),
    ("broker_url", "redis://localhost", "'redis'.*; allowed: amqp://.*local:PATH"),
    ("broker_url", "amqp:", "allowed: amqp://"),
    ("broker_url", "local:", "allowed: amqp://"),
    ("broker_url", "localhost", "allowed: amqp://"),
    ("broker_url", "amqp://user:hush@host:port/", "cannot be read; allowed: amqp://"),
    ("broker_url", "amqp://[::1/", "cannot be read; allowed: amqp://"),
    (
        "store_url",
        "postgresql://me:hush@host/db",
        "PostgreSQL is not supported by this version; allowed: sqlite:///PATH",
    ),
    ("store_url", "postgresql+psycopg://host/db", "PostgreSQL is not supported"),
    ("store_url", "mysql://me:hush@host/db", "'mysql' is not a ledger store"),
    ("store_url", "sqlite://ledger.db", "allowed: sqlite:///PATH"),
    ("store_url", "sqlite:///:memory:", "needs a file"),
    ("payload_url", "http://bucket/", "allowed: file:PATH or s3://BUCKET/PREFIX"),
    ("payload_url", "s3:///prefix", "allowed: file:PATH"),
    ("payload_url", "s3://No_Bucket", "allowed: file:PATH"),
    ("payload_url", "file:", "allowed: file:PATH"),
    ("payload_url", "file://elsewhere/x", "allowed: file:PATH"),
    ("payload_inline_limit", "many", f"allowed: a whole number of bytes from 0 to {LARGEST_INLINE}"),
    ("payload_inline_limit", "-1", "allowed: a whole number of bytes"),
    ("payload_inline_limit", str(LARGEST_INLINE + 1), "allowed: a whole number of bytes"),
    ("s3_endpoint_url", "127.0.0.1:8333", "allowed: http://HOST:PORT"),
    ("s3_addressing_style", "dns", "allowed: auto, path or virtual"),
    ("lease", "soon", "'soon' is not a duration; allowed: seconds"),
    ("lease", "0", "give a duration over 0"),
    ("lease", "9", "must be longer than unresponsive_after"),
    ("suspend_after", "0", "give a duration over 0"),
    ("max_hanging", "0", "allowed: a whole number of workflows, 1 or more"),
    ("max_hanging", "many", "allowed: a whole number of workflows, 1 or more"),
    ("unresponsive_after", "3s", "at least twice the heartbeat"),
    ("http_address", "localhost", "allowed: HOST:PORT"),
    ("http_address", "localhost:99999", "allowed: HOST:PORT"),
    ("http_address", "http://localhost:1", "allowed: HOST:PORT"),
]


@pytest.mark.parametrize(("field", "value", "says"), WRONG)
def test_a_wrong_value_names_its_variable_and_what_is_allowed_but_no_password(
    field: str, value: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LONGSHORE_{field.upper()}", value)
    with pytest.raises(SettingsError, match=says) as caught:
        load()
    assert caught.value.variable == f"LONGSHORE_{field.upper()}"
    assert str(caught.value).startswith(f"LONGSHORE_{field.upper()}: ")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("value", [3, True, b"amqp://x/", ["amqp://x/"]])
def test_a_wrong_type_is_refused_like_a_wrong_text(value: Any) -> None:
    for field in ("broker_url", "store_url", "payload_url", "s3_endpoint_url", "http_address", "namespace"):
        with pytest.raises(SettingsError, match="allowed") as caught:
            load(**{field: value})
        assert caught.value.variable == f"LONGSHORE_{field.upper()}"


def test_an_unknown_setting_names_the_nearest_known_ones() -> None:
    write('[longshore]\nbroker = "amqp://x/"')
    with pytest.raises(SettingsError, match=r"longshore.toml: no setting is called 'broker'; did you mean broker_url"):
        load()
    write("")
    with pytest.raises(SettingsError, match="no setting is called 'brokers_url'; did you mean broker_url"):
        load(brokers_url="amqp://x/")
    with pytest.raises(SettingsError, match="there are namespace, project"):
        load(zzzz=1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[longshore", "longshore.toml: cannot be read"),
        ("longshore = 3", r"longshore.toml: `longshore` must be a table: write \[longshore\]"),
        ('[longshore]\nlease = "x"', "LONGSHORE_LEASE: 'x' is not a duration"),
        ("[longshore]\nlease = [1]", "LONGSHORE_LEASE: .* is not a duration"),
    ],
)
def test_a_file_that_is_wrong_says_where(text: str, says: str) -> None:
    write(text)
    with pytest.raises(SettingsError, match=says):
        load()


def test_the_file_is_text_in_utf_8() -> None:
    Path("longshore.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"longshore\.toml: cannot be read"):
        load()


def test_importing_reads_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import longshore.settings"],
        env=os.environ | {"LONGSHORE_LEASE": "nonsense", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://user:p@ss@host/v", "amqp://user:***@host/v"),
        ("amqp://user@host/", "amqp://user@host/"),
        ("amqp://host/", "amqp://host/"),
        ("local:/tmp/a@b", "local:/tmp/a@b"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert redacted(url) == shown


@pytest.mark.parametrize(
    "value", ["30", "1000", "soon", "0s", "30d,", "30d,0", "30d,-1", "30d,many", "off,", "30d,1,1"]
)
def test_a_retention_that_says_nothing_clear_is_refused_with_what_is_allowed(value: str) -> None:
    with pytest.raises(SettingsError, match=r'LONGSHORE_RETENTION: .*allowed: "30d", "30d,1000000", "off,1000"'):
        load(retention=value)


@pytest.mark.parametrize("value", ["30d", "1h30m", "30d,1000000", "off,1", " 7d , 20 ", "off"])
def test_a_retention_is_an_age_a_number_both_or_off(value: str) -> None:
    assert load(retention=value).retention == value


def test_a_listening_address_has_two_parts() -> None:
    assert host_and_port("127.0.0.1:8600") == ("127.0.0.1", 8600)
    assert host_and_port("[::1]:0") == ("::1", 0)


def test_every_setting_has_a_default_so_that_nothing_must_be_set() -> None:
    assert all(not field.is_required() for field in Settings.model_fields.values())


def documented() -> dict[str, str]:
    """The settings in the README's table, by field, each with what stands there as its default."""
    text = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for row in re.findall(r"^\| (`LONGSHORE_.*) \| (.*) \|$", text.partition("## Settings")[2], re.MULTILINE):
        names = [name.lower() for name in re.findall(r"`(?:LONGSHORE)?_([A-Z0-9_]+)`", row[0])]
        defaults = row[1].split(", ", len(names) - 1)
        found |= dict(zip(names, defaults if len(defaults) == len(names) else [row[1]] * len(names), strict=True))
    return found


def test_the_readme_names_every_setting_and_no_other() -> None:
    assert sorted(documented()) == sorted(Settings.model_fields)


def test_the_readme_shows_the_defaults_that_hold() -> None:
    said = documented()
    for name, value in load():
        match value:
            case bool():
                assert said[name].startswith("on;" if value else "off;"), name
            case timedelta():
                assert said[name].split(",")[0] == f"{value.total_seconds():g} s", name
            case str() | int():
                assert str(value) == said[name].split(" (")[0].strip("`"), name
            case _:
                assert value is None, name
