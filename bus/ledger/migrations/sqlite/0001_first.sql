-- Times are milliseconds since 1970 UTC. Payload columns hold message envelopes (bus.message.encode).
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('next_number', 1), ('epoch', 0);

-- Durable channels. A channel is a list of lanes; a row's id is lane << 35 | position, so that one plain table is
-- clustered by lane and read in order without any index. Every channel has one main lane for
-- ever; each batch brings a lane of its own, hidden from workers until the batch opens. A dead lane is emptied in pieces.
CREATE TABLE lane (id INTEGER PRIMARY KEY, channel TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('main', 'open', 'hidden', 'dead'))) STRICT;
CREATE INDEX lane_channel ON lane (channel, state);
CREATE TABLE queued (id INTEGER PRIMARY KEY, payload BLOB NOT NULL) STRICT;

CREATE TABLE route_version (
  id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, route TEXT NOT NULL, sources TEXT NOT NULL, first_used INTEGER NOT NULL
) STRICT;
CREATE TABLE route_state (route TEXT PRIMARY KEY, state TEXT NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE arrival (
  id TEXT PRIMARY KEY, endpoint TEXT NOT NULL, sha256 TEXT NOT NULL, n INTEGER NOT NULL,
  name TEXT NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL, number INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('stored', 'completed')),
  outcome TEXT NOT NULL CHECK (outcome IN ('accepted', 'held', 'released', 'discarded', 'rejected')),
  at INTEGER NOT NULL,
  UNIQUE (endpoint, sha256, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX arrival_endpoint ON arrival (endpoint, at);
CREATE INDEX arrival_name ON arrival (endpoint, name, size, mtime);

-- One packed row per (batch of units, segment): see bus.ledger.history.
CREATE TABLE history (
  id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, at INTEGER NOT NULL,
  version INTEGER NOT NULL, place TEXT NOT NULL, packed BLOB NOT NULL
) STRICT;
CREATE INDEX history_first ON history (first);
CREATE TABLE business_key (
  value TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (value, name, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE tally (
  place TEXT NOT NULL, outcome TEXT NOT NULL, currency TEXT NOT NULL, count INTEGER NOT NULL, amount TEXT NOT NULL,
  last INTEGER NOT NULL, PRIMARY KEY (place, outcome, currency)
) STRICT, WITHOUT ROWID;

CREATE TABLE deferred (
  id INTEGER PRIMARY KEY, due INTEGER NOT NULL, channel TEXT NOT NULL, number INTEGER NOT NULL,
  code TEXT NOT NULL, reason TEXT NOT NULL, payload BLOB NOT NULL
) STRICT;
CREATE INDEX deferred_due ON deferred (due);
CREATE INDEX deferred_number ON deferred (number);
CREATE TABLE held (
  id INTEGER PRIMARY KEY, channel TEXT NOT NULL, number INTEGER NOT NULL, until INTEGER NOT NULL, predicate TEXT NOT NULL,
  code TEXT NOT NULL, reason TEXT NOT NULL, since INTEGER NOT NULL, case_id INTEGER, payload BLOB NOT NULL
) STRICT;
CREATE INDEX held_until ON held (until) WHERE until > 0;
CREATE INDEX held_case ON held (case_id);
CREATE INDEX held_number ON held (number);
CREATE TABLE dead (
  id INTEGER PRIMARY KEY, channel TEXT NOT NULL, number INTEGER NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL,
  at INTEGER NOT NULL, case_id INTEGER NOT NULL, payload BLOB NOT NULL
) STRICT;
CREATE INDEX dead_case ON dead (case_id);
CREATE INDEX dead_number ON dead (number);

CREATE TABLE batch (
  id INTEGER PRIMARY KEY, parent_id TEXT NOT NULL, parent_number INTEGER NOT NULL, step TEXT NOT NULL,
  version INTEGER NOT NULL, lane INTEGER NOT NULL, state TEXT NOT NULL CHECK (state IN ('loading', 'open', 'complete')),
  next_index INTEGER NOT NULL, unreported INTEGER NOT NULL, money TEXT NOT NULL, outcomes TEXT NOT NULL, at INTEGER NOT NULL,
  UNIQUE (parent_id, step)
) STRICT;
CREATE TABLE gathering (
  id INTEGER PRIMARY KEY, route TEXT NOT NULL, version INTEGER NOT NULL, step TEXT NOT NULL, key TEXT NOT NULL,
  batch INTEGER NOT NULL, release INTEGER NOT NULL, channel TEXT NOT NULL, count INTEGER NOT NULL, money TEXT NOT NULL,
  correlation TEXT NOT NULL, opened INTEGER NOT NULL, due INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'released', 'done', 'swept')),
  message INTEGER NOT NULL DEFAULT 0, -- number of the message it was released as
  UNIQUE (route, step, key, batch, release)
) STRICT;
CREATE INDEX gathering_due ON gathering (due) WHERE state = 'open' AND due > 0;
CREATE INDEX gathering_done ON gathering (id) WHERE state = 'done';
CREATE INDEX gathering_batch ON gathering (batch) WHERE state = 'open';
CREATE INDEX gathering_of_batch ON gathering (batch);
-- id = gathering << 30 | position
CREATE TABLE member (id INTEGER PRIMARY KEY, sort TEXT NOT NULL, number INTEGER NOT NULL, payload BLOB NOT NULL) STRICT;

CREATE TABLE outbound (
  id TEXT NOT NULL, sink TEXT NOT NULL, number INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('staged', 'requested', 'delivered', 'in_doubt')),
  receipt TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (id, sink)
) STRICT, WITHOUT ROWID;
CREATE INDEX outbound_number ON outbound (number);

CREATE TABLE instruction (
  id INTEGER PRIMARY KEY, partner TEXT NOT NULL, message_id TEXT NOT NULL, payment_information_id TEXT NOT NULL,
  end_to_end_id TEXT NOT NULL, amount TEXT NOT NULL, currency TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL,
  number INTEGER NOT NULL, correlation TEXT NOT NULL, route TEXT NOT NULL, registered INTEGER NOT NULL,
  answer_by INTEGER NOT NULL, changed INTEGER NOT NULL,
  UNIQUE (message_id, payment_information_id, end_to_end_id, number)
) STRICT;
CREATE INDEX instruction_end_to_end ON instruction (end_to_end_id);
CREATE INDEX instruction_payment_information ON instruction (payment_information_id);
CREATE INDEX instruction_number ON instruction (number);
CREATE INDEX instruction_waiting ON instruction (answer_by) WHERE status = '' AND answer_by > 0;

CREATE TABLE remembered (
  scope TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX remembered_until ON remembered (until) WHERE until > 0;
CREATE TABLE resequencing (
  id INTEGER PRIMARY KEY, version INTEGER NOT NULL, step TEXT NOT NULL, key TEXT NOT NULL, channel TEXT NOT NULL, expected INTEGER NOT NULL,
  due INTEGER NOT NULL, timeout INTEGER NOT NULL, UNIQUE (channel, step, key)
) STRICT;
CREATE TABLE parked (
  stream INTEGER NOT NULL, position INTEGER NOT NULL, number INTEGER NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (stream, position, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE cases (
  id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL, code TEXT NOT NULL, summary TEXT NOT NULL, route TEXT NOT NULL, owner TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'released', 'discarded', 'retried', 'resolved')),
  number INTEGER NOT NULL, correlation TEXT NOT NULL, context TEXT NOT NULL, count INTEGER NOT NULL,
  opened INTEGER NOT NULL, last INTEGER NOT NULL, closed INTEGER, closed_by TEXT, closing_reason TEXT
) STRICT;
CREATE UNIQUE INDEX cases_fingerprint ON cases (fingerprint) WHERE state = 'open';
CREATE INDEX cases_correlation ON cases (correlation);
CREATE TABLE audit (
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, target TEXT NOT NULL, reason TEXT NOT NULL
) STRICT;
