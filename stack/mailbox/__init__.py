"""Local mailbox: takes every mail of the stack by SMTP and shows it; nothing leaves the machine."""
