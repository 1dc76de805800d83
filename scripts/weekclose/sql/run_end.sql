-- ... and how it ended.
select payouts.end_run(%(run_id)s, %(outcome)s, %(message)s, %(results)s)
