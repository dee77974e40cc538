"""Runs when an interpreter of the environment starts: see environment.py."""

from importlib import import_module

from .hook import install

FINDER = install(**import_module("machorun_places").PLACES)
