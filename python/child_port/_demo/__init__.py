"""The demonstration: separate processes hand each other port rights, and every step is checked.

steps.py is the parent's part, children.py the programs of the processes that it starts.
"""
