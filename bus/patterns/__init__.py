"""The steps of routes: one Enterprise Integration Pattern a file."""
