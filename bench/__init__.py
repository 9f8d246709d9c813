"""Measurements, each beside the floor that the machine sets in the same run."""
