-- Documents of messages that went to a queue outside of this database (bus.channels.amqp.documents); a row counts until
-- the leg of its message stands in the inbox.
CREATE TABLE under_way (
  leg TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (leg, sha256)
) STRICT, WITHOUT ROWID;
-- What stands in queues already is not known here: see bus.ledger.references.all_known.
INSERT INTO meta SELECT 'under_way_since', CAST(unixepoch('subsec') * 1000 AS INTEGER)
  WHERE EXISTS (SELECT 1 FROM audit WHERE what = 'backbone')
  ON CONFLICT DO UPDATE SET value = excluded.value;
