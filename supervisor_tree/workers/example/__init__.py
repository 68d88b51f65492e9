"""The workers of the example tree (`supervisor_tree/config/examples/example/tree.toml`), one of each kind.

Each also runs by itself, without a tree::

    python -m supervisor_tree.workers supervisor_tree.workers.example.host_watcher:HostWatcher '{"to": "figures.jsonl"}'
"""
