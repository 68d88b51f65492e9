"""What system tests share: a real tree in a folder of its own (`tree`), and waiting without sleeping (`waiting`)."""
