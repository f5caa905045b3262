"""What shows itself in a notebook: a workflow and a run alike. The widget is imported when one is to be seen."""

from typing import Any


class Shown:
    """A workflow or a run: the last line of a cell shows it."""

    def _ipython_display_(self) -> None:
        """In a notebook: the live graph."""
        self.view()

    def view(self, how: str = "widget") -> None:
        """Show the live graph; `how="svg"`: a picture that follows the run where no widget can be shown."""
        from cc_notebook.widget import view

        subject: Any = self
        view.display(subject, how)

    @property
    def selected(self) -> str | None:
        """The job that was clicked in the live graph."""
        from cc_notebook.widget import view

        shown = view.of(self)
        return (shown.selected or None) if shown else None
