-- What the run before and the last freeze hold a new run to.
select
    greatest(
        (select as_of from payouts.warehouse_runs order by started_at desc limit 1),
        (select max(as_of) from payouts.frozen_windows)
    ) as last_as_of,
    (select settings from payouts.frozen_windows order by payout_window desc limit 1) as frozen_settings
