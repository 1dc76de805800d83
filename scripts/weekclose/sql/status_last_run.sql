-- The last Sunday run, and what of it was red.
select
    run_id,
    as_of,
    started_at,
    finished_at,
    actor,
    outcome,
    message,
    coalesce(
        (
            select jsonb_agg(failed.value order by failed.ordinality)
            from jsonb_array_elements(results -> 'failed') with ordinality as failed
            where failed.value ->> 'status' <> 'skipped'
        ),
        '[]'
    ) as red
from payouts.warehouse_runs
order by started_at desc
limit 1
