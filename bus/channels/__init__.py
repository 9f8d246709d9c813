"""Durable queues: Broker, Channel and Delivery of one technology a file."""
