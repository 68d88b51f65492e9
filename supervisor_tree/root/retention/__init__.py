"""`[retention]`: files that are removed when they are old."""
