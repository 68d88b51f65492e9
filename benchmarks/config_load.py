"""How much the configuration takes: import, load of N workers, program of each. Prints medians, ms of CPU."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from statistics import median

IMPORT = """
import time
before = time.process_time()
import supervisor_tree.config
print((time.process_time() - before) * 1000)
"""


def tree(workers: int) -> str:
    """A tree file of so many workers, a tenth of them under supervisors of their own."""
    parts = ['[tree]\nname = "bench"\n[defaults]\nbackoff = "0s"\n']
    for number in range(workers):
        parts.append(f'[workers.w{number}]\ncommand = "/bin/sleep {number}"\n')
        parts.append(f'env = {{ N = {number} }}\nshutdown = "2s"\n')
        if number % 10 == 0:
            parts.append(f'[supervisors.s{number}]\nstrategy = "rest_for_one"\nchildren = ["w{number}"]\n')
    return "".join(parts)


def main() -> None:
    bare = [_timed("pass") for _ in range(5)]
    print(f"bare python, wall clock: {median(bare):.0f} ms")
    imports = [float(subprocess.check_output([sys.executable, "-c", IMPORT])) for _ in range(5)]
    print(f"import supervisor_tree.config: {median(imports):.1f} ms")
    from supervisor_tree import config

    for workers in (10, 100, 1_000, 10_000):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "tree.toml")
            with open(file, "w", encoding="utf-8") as opened:
                opened.write(tree(workers))
            loads, programs = [], []
            for _ in range(3 if workers > 1000 else 7):
                before = time.process_time()
                plan = config.load([file], os.environ)
                loads.append(time.process_time() - before)
                before = time.process_time()
                for name in plan.workers:
                    config.program(plan, name)
                programs.append(time.process_time() - before)
        load, each = median(loads) * 1000, median(programs) * 1000
        print(f"{workers:6} workers: load {load:7.1f} ms, program of all {each:6.1f} ms")


def _timed(code: str) -> float:
    before = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - before) * 1000


if __name__ == "__main__":
    main()
