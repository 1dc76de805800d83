-- ... and how it ended.
update payouts.warehouse_runs
set
    finished_at = clock_timestamp(),
    outcome = %(outcome)s,
    message = %(message)s,
    results = %(results)s
where run_id = %(run_id)s
