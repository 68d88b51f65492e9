"""Decisions as data: events and the time in, effects out. No clock, no I/O, no randomness of its own."""
