"""The supervisor process: takes the instance's lock, starts everything in order, watches it, stops it.

Run as `python -m stack.supervisor.daemon`; `make up` starts it in the background and follows its events.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from stack import frontend, migrations, postgres, postgrest
from stack.environment import load_dotenv
from stack.gateway import configuration as gateway
from stack.keys import write_signing_key
from stack.settings import REPOSITORY, StackSettings
from stack.supervisor import plan, record
from stack.supervisor.events import EventLog
from stack.supervisor.keeper import Keeper, ServiceFailedError
from stack.supervisor.ports import check_ports

_EXPECTED_ERRORS = (
    postgres.PostgresError,
    ServiceFailedError,
    OSError,
)


class Supervisor:
    """One running instance."""

    def __init__(self, settings: StackSettings, events: EventLog) -> None:
        """Prepare the instance; nothing is started yet.

        Args:
            settings: the instance, with freshly chosen internal ports.
            events: its log.
        """
        self._settings = settings
        self._events = events
        self._record_file = settings.run_dir / "processes.json"
        me = record.ProcessRecord(pid=os.getpid(), created=record.creation_time(os.getpid()), state="running")
        self._record = record.StackRecord(supervisor=me)
        self._keepers = [Keeper(s, settings.log_dir, events, self._save) for s in plan.services(settings)]
        self._record.services = {keeper.service.name: keeper.record for keeper in self._keepers}
        steps = (plan.CLUSTER, plan.BOOTSTRAP, plan.MIGRATIONS, plan.FRONTEND)
        self._steps = {name: asyncio.Event() for name in steps}
        self._failed: list[str] = []
        self._fresh = False
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Bring the instance up, stay until asked to stop, take it down.

        Returns:
            The exit status: 0 after a requested stop, 1 when the start failed.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGUSR1, self._restart_twin)
        self._save()
        began = time.monotonic()
        work = asyncio.create_task(self._work())
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
        failure = work.exception() if work.done() else None
        if failure is not None:
            self._record.phase = "failed"
            self._events.write(
                "start_failed", reason=_explain(failure), seconds=round(time.monotonic() - began, 1)
            )
        await self._shut_down(work)
        return 1 if failure is not None else 0

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            for keeper in self._keepers:
                group.create_task(self._keep(keeper))
            group.create_task(self._step(plan.CLUSTER, (), self._make_cluster))
            group.create_task(self._step(plan.BOOTSTRAP, ("postgres",), self._bootstrap))
            group.create_task(self._step(plan.MIGRATIONS, (plan.BOOTSTRAP,), self._migrate))
            group.create_task(self._step(plan.FRONTEND, (), self._build_frontend))
            await self._wait_for([*self._steps, *(keeper.service.name for keeper in self._keepers)])
            self._record.phase = "ready"
            self._save()
            self._events.write("stack_ready", failed_steps=self._failed)

    async def _keep(self, keeper: Keeper) -> None:
        await self._wait_for(keeper.service.needs)
        if not self._stop.is_set():
            await keeper.run()

    async def _step(self, name: str, needs: Sequence[str], action: Callable[[], str | None]) -> None:
        await self._wait_for(needs)
        began = time.monotonic()
        text = await asyncio.to_thread(action)
        self._events.write("step_done", step=name, result=text, seconds=round(time.monotonic() - began, 2))
        self._steps[name].set()

    async def _wait_for(self, names: Sequence[str]) -> None:
        ready = {keeper.service.name: keeper.ready for keeper in self._keepers} | self._steps
        for name in names:
            await ready[name].wait()

    def _make_cluster(self) -> str:
        self._fresh = postgres.ensure_cluster(self._settings)
        if self._fresh:
            (self._settings.state_dir / "migrations.applied").unlink(missing_ok=True)
        return "new database cluster" if self._fresh else "existing database"

    def _bootstrap(self) -> str | None:
        if self._fresh:
            postgres.bootstrap(self._settings)
        postgres.publish_api_settings(self._settings)
        return "roles, auth and realtime schemas" if self._fresh else None

    def _migrate(self) -> str | None:
        """Whoever writes a migration needs the database most while it fails: that does not end the stack."""
        try:
            return (
                "migrations and seed applied" if migrations.bring_up_to_date(self._settings) else "up to date"
            )
        except migrations.MigrationError as error:
            self._say_failed(plan.MIGRATIONS, error)
            return None

    def _build_frontend(self) -> str | None:
        """A page that does not build must not take the database away from whoever repairs it."""
        try:
            return frontend.prepare(self._settings)
        except frontend.FrontendError as error:
            self._say_failed(plan.FRONTEND, error)
            return None

    def _say_failed(self, step: str, error: Exception) -> None:
        self._failed.append(step)
        self._events.write("step_failed", step=step, reason=str(error))

    def _restart_twin(self) -> None:
        """After a database reset the twin has lost its tables and must make them again."""
        for keeper in self._keepers:
            if keeper.service.name == "stripe-twin":
                keeper.ask_restart("the database was reset")

    async def _shut_down(self, work: asyncio.Task[None]) -> None:
        if self._record.phase != "failed":
            self._record.phase = "stopping"
        self._save()
        self._events.write("stack_stopping")
        postgres_keeper, others = self._keepers[0], self._keepers[1:]
        await asyncio.gather(*(keeper.stop() for keeper in others))
        await postgres_keeper.stop()
        work.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await work
        self._events.write("stack_stopped")
        self._record_file.unlink(missing_ok=True)

    def _save(self) -> None:
        record.write(self._record_file, self._record)


def main() -> int:
    """Run the supervisor of the instance that the environment names.

    Returns:
        The exit status.
    """
    load_dotenv(str(REPOSITORY / ".env"))
    settings = StackSettings.load(choose_ports=True)
    for folder in (settings.run_dir, settings.log_dir):
        folder.mkdir(parents=True, exist_ok=True)
    events = EventLog(settings.log_dir / "supervisor.log")
    with (settings.run_dir / "supervisor.lock").open("w") as lock:
        try:
            fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            events.write("start_failed", reason="this instance is already running")
            return 1
        return _run_locked(settings, events)


def _run_locked(settings: StackSettings, events: EventLog) -> int:
    old = record.read(settings.run_dir / "processes.json")
    if old is not None:
        events.write("leftovers_ended", services=record.end_leftovers(old))
    problems = check_ports(settings)
    if problems:
        events.write("start_failed", reason="\n".join(problems))
        return 1
    try:
        write_signing_key(settings.keys, settings.signing_key_file)
        gateway.write_config(settings)
        postgrest.write_config(settings)
        return asyncio.run(Supervisor(settings, events).run())
    except Exception as error:
        events.write("start_failed", reason=_explain(error))
        raise


def _explain(error: BaseException) -> str:
    """Return what to tell the person: the plain texts of expected errors, the type too of unexpected ones."""
    if isinstance(error, BaseExceptionGroup):
        return "\n".join(_explain(one) for one in error.exceptions)
    if isinstance(error, _EXPECTED_ERRORS):
        return str(error)
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main())
