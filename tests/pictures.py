"""The README's pictures and the tutorial's outputs, made anew by `python tests/pictures.py`; look at each of them.

The tutorial is executed cell by cell; an output is kept as it was when its cell had ended: a picture of that moment.
The widget and the page are photographed in a real JupyterLab and its server, in the light and in the dark.
"""

import copy
import os
import shutil
import tempfile
from pathlib import Path

import nbformat
import requests
from conftest import chromium
from nbclient import NotebookClient
from playwright.sync_api import sync_playwright
from test_house import ROOT
from test_widget_browser import Lab, Notebook

PICTURES, TUTORIAL = ROOT / "notebooks" / "pictures", ROOT / "notebooks" / "tutorial.ipynb"
WIDGET = "application/vnd.jupyter.widget-view+json"  # what it names is gone with the kernel
KEPT = ("kernelspec", "language_info")
# The folder of the moment is nobody's: a traceback in a picture has this one
PLAIN = "(pre, folder) => { pre.textContent = pre.textContent.replaceAll(folder, '/home/lab'); }"


def tutorial(folder):
    """Execute it, and keep of each cell what a reader without a kernel can see."""
    book = nbformat.read(TUTORIAL, 4)
    client = NotebookClient(book, timeout=120, resources={"metadata": {"path": str(folder)}})
    with client.setup_kernel():
        for number, cell in enumerate(book.cells):
            client.execute_cell(cell, number)
            cell["then"] = copy.deepcopy(cell.get("outputs"))
    for cell in book.cells:
        cell.metadata = {}
        if then := cell.pop("then"):
            cell.outputs = [output for output in then if WIDGET not in output.get("data", {})]
    book.metadata = {key: value for key, value in book.metadata.items() if key in KEPT}
    nbformat.write(book, TUTORIAL)


def notebook(lab, browser):
    """The widget with a failed job, opened by a click."""
    book = Notebook(lab, browser, "pictures", name="tutorial.ipynb")
    shutil.copy(TUTORIAL, book.folder)
    book.visit()
    book.command("application:toggle-left-area")
    book.run(next(n for n, cell in enumerate(nbformat.read(TUTORIAL, 4).cells) if cell.cell_type == "code"))
    book.until("· report\n0%")
    book.button("run")
    book.until("✗ report\n1%")
    book.click("report")
    for theme, file in (("Light", "notebook.png"), ("Dark", "notebook-dark.png")):
        book.page.evaluate(
            "name => jupyterapp.commands.execute('apputils:change-theme', {theme: name})", f"JupyterLab {theme}"
        )
        inside = book.page.frame_locator(f".cc-frame[src*='theme={theme.lower()}']")
        inside.locator("aside pre", has_text="NameError").first.evaluate(PLAIN, str(book.folder))
        book.page.locator(".cc-view").first.evaluate("view => view.scrollIntoView()")
        book.page.wait_for_timeout(1000)  # colours fade
        box = book.page.locator(".cc-view").first.bounding_box()
        book.page.screenshot(path=PICTURES / file, clip={**box, "height": min(box["height"], 720)})


def page(lab, browser):
    """A run of the example with its loop opened, in the middle."""
    head, api = {"Authorization": "token secret"}, f"{lab.url}cc/api/"
    requests.post(f"{api}workflows?name=example", json={"template": "example"}, headers=head, timeout=20)
    run = requests.post(f"{api}runs", json={"workflow": "example"}, headers=head, timeout=20).json()["run"]
    shown = browser.new_page(viewport={"width": 1300, "height": 700})
    shown.goto(f"{lab.url}cc/runs/{run}?token=secret")
    shown.get_by_role("button", name="Members of compute").click()
    shown.locator(".node.done").nth(3).wait_for()
    for scheme, file in (("light", "page.png"), ("dark", "page-dark.png")):
        shown.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        shown.screenshot(path=PICTURES / file)


def main():
    """All of them, in a folder and a store of their own."""
    with tempfile.TemporaryDirectory(prefix="cc-") as name, sync_playwright() as playwright:
        os.environ["CC_HOME"] = str(Path(name, "store"))
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        tutorial(name)
        lab = Lab(Path(name))
        try:
            notebook(lab, browser)
            page(lab, browser)
        finally:
            lab.process.terminate()
            lab.process.wait(30)


if __name__ == "__main__":
    main()
