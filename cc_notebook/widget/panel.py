"""What stands around the graph: title, buttons, progress, details. The browser's part of it is in panel.js."""

from pathlib import Path

import anywidget
import traitlets

HERE = Path(__file__).parent


class Panel(anywidget.AnyWidget):
    """Shows what it is `told`; sends what the user asks where the server cannot be asked instead."""

    _esm = HERE / "panel.js"
    _css = HERE / "panel.css"
    told = traitlets.Dict().tag(sync=True)
