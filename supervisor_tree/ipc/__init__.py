"""Messages and channels: the link between keeper, root and logger; the control socket's client."""
