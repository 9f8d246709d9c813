-- What is looked for at every start, hour or second is found without reading everything else.
CREATE INDEX arrival_stored ON arrival (endpoint) WHERE state = 'stored';
CREATE INDEX arrival_at ON arrival (at) WHERE state = 'completed';
CREATE INDEX outbound_live ON outbound (sink) WHERE state <> 'delivered';
CREATE INDEX outbound_at ON outbound (at) WHERE state = 'delivered';
CREATE INDEX instruction_final ON instruction (changed) WHERE status IN ('ACSC', 'ACCC', 'RJCT', 'CANC');
CREATE INDEX batch_waiting ON batch (parent_number) WHERE state <> 'complete';
CREATE INDEX batch_at ON batch (at) WHERE state = 'complete';
CREATE INDEX gathering_opened ON gathering (opened);
CREATE INDEX history_at ON history (at);
CREATE INDEX held_predicate ON held (id) WHERE predicate <> '';
CREATE INDEX resequencing_due ON resequencing (due) WHERE due > 0;
