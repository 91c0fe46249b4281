"""The bus: one protocol, RabbitMQ and a local router behind it. It knows nothing of runs.

Importing it connects to nothing and imports no client library; `connect` imports the one that the URL needs.
"""

from __future__ import annotations

from longshore.broker.bus import Bus, Consumer, Headers, Incoming, Outgoing, Sent
from longshore.core.envelope import Names
from longshore.core.errors import SettingsError

__all__ = ["Bus", "Consumer", "Headers", "Incoming", "Outgoing", "Sent", "connect"]


def connect(url: str, names: Names) -> Bus:
    """The bus for this URL: `amqp://`, `amqps://`, or `local:PATH` of a socket. It is not open yet.

    Raises SettingsError for any other URL.
    """
    scheme, _, rest = url.partition(":")
    if scheme in ("amqp", "amqps"):
        from longshore.broker.rabbitmq import RabbitBus

        return RabbitBus(url, names)
    if scheme == "local" and rest:
        from longshore.broker.local_socket import SocketBus

        return SocketBus(rest, names)
    raise SettingsError("LONGSHORE_BROKER_URL", "not a broker; allowed: amqp://..., amqps://..., local:PATH")
