"""What every transport and every host must do, as tests that anybody can run on a transport of their own.

    pytest --pyargs cc_notebook.conformance --transport=NAME --host=HOST

`NAME` is a transport's name, or `module:function` for what makes a line (see `cc_notebook.transports`); `HOST` is
one of the user's hosts.yaml, or an alias. Without them the suite looks at `sh` here. It leaves nothing on the machine,
and asks POSIX and Linux's /proc there. Other tests take `suite.Lines` and `suite.Hosts` as bases, and bring `machine`.
"""

import pytest

pytest.register_assert_rewrite("cc_notebook.conformance.suite", "cc_notebook.conformance.machine")
