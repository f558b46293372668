"""Tests of what crosses the rooms of the repository."""
