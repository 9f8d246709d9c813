"""Fakes and scripted partners that ship with the bus, so that routes can be tested without a bank."""
