"""The measured systems, in the order in which tables show them."""

from __future__ import annotations

from benchmarks.systems.base import Capture, System
from benchmarks.systems.circus import Circus
from benchmarks.systems.daemontools import S6, Runit
from benchmarks.systems.floor import Floor, FloorSplice
from benchmarks.systems.ours import Ours, OursBeating, OursDefaults, OursPython
from benchmarks.systems.pm2 import Pm2
from benchmarks.systems.supervisord import Supervisord

ALL: list[type[System]] = [Floor, FloorSplice, Ours, OursDefaults, S6, Runit, Supervisord, Circus, Pm2]

__all__ = ["ALL", "Capture", "Floor", "FloorSplice", "Ours", "OursBeating", "OursDefaults", "OursPython", "System"]
