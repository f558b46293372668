"""The SMTP side of the mailbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiosmtpd.smtp import SMTP, Envelope, Session

from stack.mailbox.store import MAX_MESSAGE_BYTES, MailStore

_log = logging.getLogger(__name__)


class _Receiver:
    """Puts each accepted mail into the store; the method's name is aiosmtpd's."""

    def __init__(self, store: MailStore) -> None:
        self._store = store

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        raw = content.encode() if isinstance(content, str) else content or b""
        mail = self._store.add(envelope.mail_from or "", envelope.rcpt_tos, raw)
        _log.info("mail %s to %s", mail.id, ", ".join(mail.recipients))
        return f"250 OK {mail.id}"


@asynccontextmanager
async def smtp_server(store: MailStore, host: str, port: int) -> AsyncIterator[None]:
    """Receive mail for as long as the context is open.

    Args:
        store: where mail goes.
        host: address to listen on; the loopback address, since anyone may send.
        port: TCP port.

    Raises:
        OSError: the port is taken.
    """
    loop = asyncio.get_running_loop()
    receiver = _Receiver(store)

    def connection() -> SMTP:
        return SMTP(receiver, data_size_limit=MAX_MESSAGE_BYTES, hostname="mailbox", loop=loop)

    server = await loop.create_server(connection, host, port)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()
