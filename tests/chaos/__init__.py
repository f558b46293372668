"""Processes that are killed: nothing acknowledged is lost, nothing is doubled."""
