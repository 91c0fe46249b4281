"""An event loop without a world: everything that would reach for a socket, file, thread, process or signal is refused.

What is left of a loop, callbacks and time, is `loop.WorkflowLoop`'s.
"""

from __future__ import annotations

import asyncio
from typing import Any

from longshore.engine.guards import refusal


def _refused(name: str, act: str, also: str = "") -> Any:
    def refuse(*_args: Any, **_options: Any) -> Any:
        raise refusal(act, f"{also}loop.{name}")

    refuse.__name__ = name
    return refuse


_THREADS, _NETWORK, _PROCESS, _SIGNALS, _LIFE = (
    "use threads",
    "use the network",
    "start a process",
    "handle signals",
    "run or stop its own loop",
)


class ClosedLoop(asyncio.AbstractEventLoop):
    """Refuses with ForbiddenInWorkflow, naming the alternative."""

    run_in_executor: Any = _refused("run_in_executor", _THREADS, "asyncio.to_thread, ")
    set_default_executor: Any = _refused("set_default_executor", _THREADS)
    shutdown_default_executor: Any = _refused("shutdown_default_executor", _THREADS)
    call_soon_threadsafe: Any = _refused("call_soon_threadsafe", _THREADS)

    getaddrinfo: Any = _refused("getaddrinfo", _NETWORK)
    getnameinfo: Any = _refused("getnameinfo", _NETWORK)
    create_connection: Any = _refused("create_connection", _NETWORK)
    create_server: Any = _refused("create_server", _NETWORK)
    create_unix_connection: Any = _refused("create_unix_connection", _NETWORK)
    create_unix_server: Any = _refused("create_unix_server", _NETWORK)
    create_datagram_endpoint: Any = _refused("create_datagram_endpoint", _NETWORK)
    connect_accepted_socket: Any = _refused("connect_accepted_socket", _NETWORK)
    start_tls: Any = _refused("start_tls", _NETWORK)
    sendfile: Any = _refused("sendfile", _NETWORK)
    sock_recv: Any = _refused("sock_recv", _NETWORK)
    sock_recv_into: Any = _refused("sock_recv_into", _NETWORK)
    sock_recvfrom: Any = _refused("sock_recvfrom", _NETWORK)
    sock_recvfrom_into: Any = _refused("sock_recvfrom_into", _NETWORK)
    sock_sendall: Any = _refused("sock_sendall", _NETWORK)
    sock_sendto: Any = _refused("sock_sendto", _NETWORK)
    sock_connect: Any = _refused("sock_connect", _NETWORK)
    sock_accept: Any = _refused("sock_accept", _NETWORK)
    sock_sendfile: Any = _refused("sock_sendfile", _NETWORK)
    add_reader: Any = _refused("add_reader", _NETWORK)
    remove_reader: Any = _refused("remove_reader", _NETWORK)
    add_writer: Any = _refused("add_writer", _NETWORK)
    remove_writer: Any = _refused("remove_writer", _NETWORK)

    subprocess_shell: Any = _refused("subprocess_shell", _PROCESS)
    subprocess_exec: Any = _refused("subprocess_exec", _PROCESS)
    connect_read_pipe: Any = _refused("connect_read_pipe", _PROCESS)
    connect_write_pipe: Any = _refused("connect_write_pipe", _PROCESS)

    add_signal_handler: Any = _refused("add_signal_handler", _SIGNALS)
    remove_signal_handler: Any = _refused("remove_signal_handler", _SIGNALS)

    run_forever: Any = _refused("run_forever", _LIFE)
    run_until_complete: Any = _refused("run_until_complete", _LIFE)
    stop: Any = _refused("stop", _LIFE)
    set_task_factory: Any = _refused("set_task_factory", _LIFE)
    get_task_factory: Any = _refused("get_task_factory", _LIFE)
    set_exception_handler: Any = _refused("set_exception_handler", _LIFE)
    get_exception_handler: Any = _refused("get_exception_handler", _LIFE)
    set_debug: Any = _refused("set_debug", _LIFE)
