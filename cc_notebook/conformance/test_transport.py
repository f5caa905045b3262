"""The suite, on the machine that the options name."""

from cc_notebook.conformance.suite import Hosts, Lines


class TestLines(Lines):
    """The transport alone."""


class TestHosts(Hosts):
    """Jobs over it, by the queue `direct`."""
