"""`--transport` and `--host`: a plugin of pytest by entry point, as `--pyargs` reads a conftest too late for them."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """See the package."""
    group = parser.getgroup("cc-notebook", "for --pyargs cc_notebook.conformance")
    group.addoption("--transport", help="a transport's name, or module:function (default: the host's own)")
    group.addoption("--host", default="", help="a host of hosts.yaml, or an alias that the transport knows")
