"""One process for the stand-ins: auth, realtime, the mailbox, edge functions and the scheduler."""
