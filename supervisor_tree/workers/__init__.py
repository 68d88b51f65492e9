"""Workers that come with the package: programs of their own, each run as `python -m supervisor_tree.workers.NAME`.

They end on SIGTERM, write their log to stdout, and take all that they need as arguments. The example tree
(`supervisor_tree/config/examples/example/tree.toml`) is made of them.
"""
