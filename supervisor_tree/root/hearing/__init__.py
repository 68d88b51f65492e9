"""What workers say of themselves, over the heartbeat socket and by sd_notify, and who is silent too long."""
