-- Legs of messages that were settled, for channels that may hand out a second copy of one (bus.channels.amqp).
CREATE TABLE inbox (leg TEXT COLLATE "C" PRIMARY KEY, at BIGINT NOT NULL);
CREATE INDEX inbox_at ON inbox (at);
