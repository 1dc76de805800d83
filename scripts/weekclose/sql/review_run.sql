-- A Sunday run with what it found: the last one, or the one that froze a window.
select
    run_id,
    as_of,
    started_at,
    finished_at,
    actor,
    outcome,
    message,
    settings,
    results
from payouts.warehouse_runs
where
    cast(%(window)s as date) is null
    or run_id = (select frozen.run_id from payouts.frozen_windows as frozen where frozen.payout_window = %(window)s)
order by started_at desc
limit 1
