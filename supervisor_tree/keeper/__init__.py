"""The process that holds the others: spawns, signals, reaps, keeps the root's state; decides nothing.

`main.run` turns a process into the keeper of one tree. `deathwatch` and `sweep` are for those that outlive it. What
must hold here is in `processes.md` 1-12, 16 and 24; the numbers in the docstrings are its rules.
"""
