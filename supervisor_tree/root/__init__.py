"""The shell around the core: the loop, effects, control. May be killed, upgraded, replaced at any moment."""
