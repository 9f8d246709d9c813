"""Fuzzing of everything that reads bytes or text from outside; ``python -m tests.fuzz --help``.

An input is made from a seed, the name of an entry and a number, so that every failure can be made again. Inputs run in
processes of their own with limits: 2 s of processor time and 256 MB each.
"""
