"""Serves `workers/main.py` as the cloud does: functions-framework under gunicorn, in one process.

Each entry point NAME is at `/workers/v1/NAME`, and the entry point `api` at `/api` too. In the cloud every
entry point is a function of its own.
"""
