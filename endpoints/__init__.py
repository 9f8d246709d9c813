"""Channel adapters to the outside: one technology a file."""
