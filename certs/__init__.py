"""Keys and certificates: TLS contexts, a development CA, SSH host and client keys."""
