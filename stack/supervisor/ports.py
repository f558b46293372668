"""Finds out before the start whether the ports are free, and who has them when they are not."""

from __future__ import annotations

import socket

import psutil

from stack.settings import HOST, StackSettings


def check_ports(settings: StackSettings) -> list[str]:
    """Return one sentence for each public port that another program has; empty when all are free."""
    problems = [
        f"port {port} ({name.replace('_', ' ')}) is taken{_owner(port)}"
        for name, port in settings.ports.public().items()
        if not is_free(port)
    ]
    if problems:
        problems.append("Stop what has them, or start with other ports: TALLYBASE_PORT_OFFSET=1000 make up")
    return problems


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _owner(port: int) -> str:
    """Return ` by process 123 (name …)` where the system lets this user see it."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if listens and connection.pid:
                command = " ".join(psutil.Process(connection.pid).cmdline())[:80]
                return f" by process {connection.pid} ({command})"
    except psutil.Error:
        return ""
    return ""
