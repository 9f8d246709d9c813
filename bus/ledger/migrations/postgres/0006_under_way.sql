-- Documents of messages that went to a queue outside of this database (bus.channels.amqp.documents); a row counts until
-- the leg of its message stands in the inbox.
CREATE TABLE under_way (
  leg TEXT COLLATE "C" NOT NULL, sha256 TEXT COLLATE "C" NOT NULL, size BIGINT NOT NULL, PRIMARY KEY (leg, sha256)
);
-- What stands in queues already is not known here: see bus.ledger.references.all_known.
INSERT INTO meta SELECT 'under_way_since', now_ms()
  WHERE EXISTS (SELECT 1 FROM audit WHERE what = 'backbone')
  ON CONFLICT (key) DO UPDATE SET value = excluded.value;
