"""Programs of the tree that are no workers: stages of runs, commands of probes, of recoveries and of alerts."""
