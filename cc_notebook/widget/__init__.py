"""The live graph in a notebook: what `w` as the last line of a cell shows."""
