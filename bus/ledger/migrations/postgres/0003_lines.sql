-- Order by key: messages that wait, in a line for each key, until the one before them has been worked on.
ALTER TABLE deferred ADD COLUMN line TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX deferred_line ON deferred (channel, line, id) WHERE line <> '';
