-- A run is recorded before it does anything.
insert into payouts.warehouse_runs (run_id, as_of, started_at, actor, outcome, settings)
values (%(run_id)s, %(as_of)s, now(), %(actor)s, 'running', %(settings)s)
