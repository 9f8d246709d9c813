"""Crashes, kills and large runs that must neither lose nor double a payment."""
