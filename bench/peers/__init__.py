"""Others doing the same work in the same run: libraries on files, and frameworks between queues."""
