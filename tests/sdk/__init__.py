"""Tests of the Python package for agents: the units, and the same promises against the running stack."""
