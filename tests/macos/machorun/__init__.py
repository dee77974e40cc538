"""Runs the machine code of a Mac's extension on Linux, x86-64: see ../README.md."""
