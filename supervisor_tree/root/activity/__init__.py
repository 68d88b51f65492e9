"""`[activity]`: an alert when nothing useful has happened for too long."""
