"""Concurrent histories: many connections at once, and the serial order that explains what they were told."""
