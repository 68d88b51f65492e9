"""Recovery: rules are answered by steps, in order, and what was done is said in journal, log and the run's record."""
