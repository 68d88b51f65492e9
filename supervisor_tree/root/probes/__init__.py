"""Probes: questions about workers and jobs, asked without ever holding up the loop (configuration.md rule 9)."""
