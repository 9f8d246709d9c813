-- Who may do what only one may do at a time; see bus.ledger.leases. Times are the database's own.
CREATE TABLE lease (
  name TEXT PRIMARY KEY, owner TEXT NOT NULL, token INTEGER NOT NULL, until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
