"""What becomes of the journal: its SQL view, and damage that is found in it."""
