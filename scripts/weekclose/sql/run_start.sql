-- A run is recorded before it does anything.
select payouts.start_run(%(run_id)s, %(as_of)s, %(actor)s, %(settings)s)
