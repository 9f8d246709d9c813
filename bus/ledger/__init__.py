"""What happened to every message: inbox, history, groups, held, dead letters, cases, audit."""
