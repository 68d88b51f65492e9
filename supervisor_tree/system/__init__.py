"""What differs between systems, behind one small interface (`processes.md`, last paragraph).

``from supervisor_tree.system import means``: the Linux means where they exist, else the portable ones.
``SUPERVISOR_TREE_PORTABLE=1`` in the environment switches the Linux means off; nothing else in the
package asks which system it runs on. Standard library only.
"""

from __future__ import annotations

import os
import sys

from supervisor_tree.system.means import Cost, Means, Process, SystemMeansError

__all__ = ["Cost", "Means", "Process", "SystemMeansError", "means"]


def _choose() -> Means:
    if sys.platform == "linux" and os.environ.get("SUPERVISOR_TREE_PORTABLE") != "1":
        from supervisor_tree.system.linux import LinuxMeans

        return LinuxMeans()
    from supervisor_tree.system.portable import PortableMeans

    return PortableMeans()


means: Means = _choose()
