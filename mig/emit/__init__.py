"""The C text: one module for each generated file, and what they share.

The generated code never takes the address of a field that could be misaligned: a value that is
wider than four bytes, or whose C type is the author's own, goes through a local variable. Fields
that follow a variable one have no fixed place, so they are copied to and from the message's bytes.
"""
