"""Jobs: programs that are run on a schedule. A second pure machine beside the tree of workers."""
