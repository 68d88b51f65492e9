"""Planned restarts: `max_age` and `watch`."""
