"""What the article's Figure 6 imports from cloudmesh: copied beside a run as `cloudmesh.common.StopWatch` and `.Shell`.

Its folders there have no `__init__.py`, so that a cloudmesh-common that is installed wins, wherever on the path it is.
"""

import os
from types import SimpleNamespace

from cc_notebook import progress as progress


class Shell:
    """The one function of cloudmesh's Shell that the figure calls."""

    @staticmethod
    def map_filename(name: str) -> SimpleNamespace:
        """A file's name as `.path`, from the root on."""
        return SimpleNamespace(path=os.path.abspath(os.path.expanduser(name)))
