"""What people and programs that look after a running bus need: logs, health, metrics, word to systemd, diagnosis."""
