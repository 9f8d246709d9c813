-- Legs of messages that were settled, for channels that may hand out a second copy of one (bus.channels.amqp).
CREATE TABLE inbox (leg TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX inbox_at ON inbox (at);
