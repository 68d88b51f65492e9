"""A worker that lives and does not answer: found out about, told, ended as a crash (`processes.md` 15, 18)."""
