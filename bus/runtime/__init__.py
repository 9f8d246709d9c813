"""The working engine: intake, workers, senders, retries, the running bus."""
