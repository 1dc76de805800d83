-- What was frozen, counted, with the digest that an approval binds to.
select
    coalesce(batches.content_digest, frozen_windows.content_digest) as content_digest,
    frozen_windows.row_count,
    frozen_windows.line_count,
    count(*) filter (where payouts.status = 'ready') as ready_count,
    count(*) filter (where payouts.status = 'blocked') as blocked_count
from payouts.frozen_windows
left join payouts.batches
    on
        frozen_windows.payout_window = batches.payout_window
        and batches.request_number is null
        and batches.state <> 'rejected'
left join payouts.payouts
    on frozen_windows.payout_window = payouts.payout_window and payouts.request_number is null
where frozen_windows.payout_window = %(window)s
group by frozen_windows.payout_window, batches.content_digest
