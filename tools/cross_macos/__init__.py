"""The Mac extension and its wheels, built and checked on Linux: see CONTRIBUTING.md.

The compiler is the clang of the ziglang package, which carries Apple's public headers; what goes
into the extension is setup.py's decision, as in every other build.
"""
