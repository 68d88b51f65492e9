"""`memory_max` and `cpu_max`: what limited workers cost, and what follows when it is too much."""
