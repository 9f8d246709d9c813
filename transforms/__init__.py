"""Data formats and mappings: one format a file or folder."""
