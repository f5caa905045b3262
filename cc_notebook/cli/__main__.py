"""`python -m cc_notebook.cli` is `jupyter cc`, where that is not on the PATH."""

from cc_notebook.cli import main

main()
