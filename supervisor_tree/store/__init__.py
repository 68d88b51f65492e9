"""The journal: every decision, append-only. It is the truth."""
