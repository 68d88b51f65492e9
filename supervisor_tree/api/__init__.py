"""The Python API: a tree described by a program instead of a file.

    from supervisor_tree import Child, Supervisor

    Supervisor([Child("web", command="python -m http.server")]).run()

`Child` and `Supervisor` take what `[workers.NAME]`, `[supervisors.NAME]` and `[tree]` take, key by key, with OTP's
defaults instead of the tree file's (one restart in 5 s, no backoff, a first start that fails fails the supervisor).
`Job` and `Stage` are `[jobs.NAME]` and its `stages`. What runs nothing itself (rules, alerts …) is a table as in the
file, typed by `supervisor_tree.api.tables`.
"""

from __future__ import annotations

from supervisor_tree.api.child import Child
from supervisor_tree.api.errors import ConfigError
from supervisor_tree.api.job import Job, Stage
from supervisor_tree.api.supervisor import Supervisor

__all__ = ["Child", "ConfigError", "Job", "Stage", "Supervisor"]
