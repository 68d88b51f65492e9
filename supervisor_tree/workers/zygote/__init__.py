"""A process that has imported what workers need, and forks them: ready in milliseconds (`processes.md` 13).

`boot` is run by path, by the worker's own interpreter; `process` is the loop, `forking` the fork, `child` what a fork
does before it runs the worker. The other side is `keeper.zygotes`. Standard library and `multiprocess` only.
"""
