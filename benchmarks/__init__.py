"""How fast supervisor-tree is, beside a floor in C and the peers, measured in one run: ``python -m benchmarks``."""
