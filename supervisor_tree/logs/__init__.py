"""The logger, which moves bytes from workers' pipes to files, and the reading of these files."""
