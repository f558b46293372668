"""Starts the stack's processes in order, restarts those that die, says what happened, and stops them."""
