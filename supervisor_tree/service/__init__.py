"""Running under systemd and launchd. What is there by now is in `docs/how-to/run-it.md`."""
