"""The shell around `core/jobs`: runs of jobs become errands, their ends become records, files and answers."""
