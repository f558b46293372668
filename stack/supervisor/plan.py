"""Which services an instance consists of, in starting order."""

from __future__ import annotations

import os
import signal
import sys

from stack import postgres
from stack.environment import worker_environment
from stack.install import POSTGREST, VENV
from stack.settings import StackSettings
from stack.supervisor.service import DatabaseProbe, HttpProbe, Service, TcpProbe

#: Steps that are not services; see `stack.supervisor.daemon`.
CLUSTER, BOOTSTRAP, MIGRATIONS, FRONTEND = "cluster", "bootstrap", "migrations", "frontend"


def services(settings: StackSettings) -> list[Service]:
    """Return the instance's services.

    Args:
        settings: the instance.

    Returns:
        The services; they stop in the reverse order, so Postgres ends last.
    """
    plan = [
        _postgres(settings),
        _postgrest(settings),
        _gateway(settings),
        _services(settings),
        _workers(settings),
    ]
    if not os.environ.get("STRIPE_SECRET_KEY"):
        plan.append(_stripe_twin(settings))
    return plan


def is_durable() -> bool:
    """Tell whether commits are flushed to the disk; `TALLYBASE_DURABLE=0` (the tests' instance) says no."""
    return os.environ.get("TALLYBASE_DURABLE", "1") != "0"


def _postgres(settings: StackSettings) -> Service:
    return Service(
        name="postgres",
        command=postgres.command(settings, durable=is_durable()),
        ready=DatabaseProbe(settings.database_url(postgres.SUPERUSER)),
        needs=(CLUSTER,),
        folder=settings.state_dir,
        stop_signal=signal.SIGINT,
        stop_seconds=20,
        # What a killed server shared with its sessions is free only when the last of those has noticed.
        attempts=6,
    )


def _postgrest(settings: StackSettings) -> Service:
    return Service(
        name="postgrest",
        command=[str(POSTGREST), str(settings.run_dir / "postgrest.conf")],
        ready=HttpProbe(settings.ports.postgrest_admin, "/ready"),
        needs=(BOOTSTRAP,),
        folder=settings.state_dir,
    )


def _gateway(settings: StackSettings) -> Service:
    caddyfile = settings.run_dir / "Caddyfile"
    return Service(
        name="gateway",
        command=[str(VENV / "bin" / "caddy"), "run", "--adapter", "caddyfile", "--config", str(caddyfile)],
        ready=TcpProbe(settings.ports.gateway),
        environment={"GOMAXPROCS": "2", "GOGC": "50"},
        folder=settings.state_dir,
    )


def _services(settings: StackSettings) -> Service:
    return Service(
        name="services",
        command=[sys.executable, "-m", "stack.services"],
        ready=HttpProbe(settings.ports.services, "/auth/v1/health"),
        needs=(BOOTSTRAP,),
        folder=settings.repository,
    )


def _workers(settings: StackSettings) -> Service:
    return Service(
        name="workers",
        command=[sys.executable, "-m", "stack.workers", "--port", str(settings.ports.workers)],
        ready=HttpProbe(settings.ports.workers, "/", highest_status=404),
        environment=worker_environment(settings),
        folder=settings.repository,
    )


def _stripe_twin(settings: StackSettings) -> Service:
    return Service(
        name="stripe-twin",
        command=[sys.executable, "-m", "stripe_twin", "--port", str(settings.ports.stripe_twin)],
        ready=TcpProbe(settings.ports.stripe_twin),
        needs=(MIGRATIONS,),
        environment=worker_environment(settings),
        folder=settings.repository / "workers",
    )
