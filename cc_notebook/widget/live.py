"""One thread for everything that is shown: it looks for changes and hands them to the kernel's own thread.

The thread ends when nothing is shown any more. A workflow changes by cells, so it is looked at when one has ended.
What cannot change by itself is held weakly.
"""

import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

import IPython

if TYPE_CHECKING:
    from cc_notebook.widget.view import View

PERIOD, PATIENCE = 0.1, 0.3  # seconds between two looks; for the kernel to be free


_shown: "weakref.WeakSet[View]" = weakref.WeakSet()
_going: "set[View]" = set()  # what still changes is followed to its end, also if nobody holds it
_lock = threading.Lock()
_wake = threading.Event()
_thread: threading.Thread | None = None


def follow(view: "View") -> None:
    """Look at it from now on."""
    global _thread
    IPython.get_ipython().events.register("post_run_cell", _cell_ended)  # once, however often
    with _lock:
        _shown.add(view)
        if _thread is None:
            _thread = threading.Thread(target=_run, name="cc-notebook", daemon=True)
            _thread.start()


def forget(view: "View") -> None:
    """Look at it no more; the thread ends if that was the last."""
    with _lock:
        _shown.discard(view)
        _going.discard(view)
    _wake.set()


def _cell_ended(_: object) -> None:
    for view in list(_shown):
        view.cell_ended()


def _run() -> None:
    global _thread
    while True:
        _wake.clear()
        _look()
        with _lock:
            if not _shown:
                _thread = None
                return
        _wake.wait(PERIOD)


def _look() -> None:
    with _lock:
        views = list(_shown)
    for view in views:
        if view.due():
            _hand_over(view)
        with _lock:
            (_going.add if view.unfinished and view in _shown else _going.discard)(view)


def _hand_over(view: "View") -> None:
    """Update it in the kernel's thread; while a cell computes, in this one."""
    done, taken = threading.Event(), threading.Lock()

    def once() -> None:
        if taken.acquire(blocking=False):
            view.update()
            done.set()

    if view.loop is not None:
        with suppress(RuntimeError):  # it is closed: the kernel ends
            view.loop.call_soon_threadsafe(once)
            done.wait(PATIENCE)
    once()
