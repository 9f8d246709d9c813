"""Families of faults, one a file; see :mod:`tests.faults.frame`."""
