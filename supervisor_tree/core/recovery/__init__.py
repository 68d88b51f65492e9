"""Recovery rules as decisions: what fires for which result, may it now, and which steps follow."""
