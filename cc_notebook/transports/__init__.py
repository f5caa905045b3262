"""Lines to machines. A module here, or one that the entry point `cc_notebook.transports` names, has `connect`.

`connect(name, user, host)` makes a `hosts.transport.Transport` of a host's name, the user there, and its settings.
"""
