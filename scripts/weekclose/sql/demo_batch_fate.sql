-- What became of a window's batch: how often it was sent, and how many of its payouts a webhook told of.
select
    batches.batch_id,
    batches.state,
    batches.rail_batch_id,
    (select count(*) from payouts.submit_attempts where submit_attempts.batch_id = batches.batch_id) as attempt_count,
    count(*) as item_count,
    count(*) filter (where payouts.status = 'paid') as paid_count,
    (
        select count(*) from payouts.rail_events
        inner join payouts.batch_items on rail_events.payout_number = batch_items.payout_number
        where batch_items.batch_id = batches.batch_id
    ) as event_count
from payouts.batches as batches
inner join payouts.batch_items as items on batches.batch_id = items.batch_id
inner join payouts.payouts on items.payout_number = payouts.payout_number
where batches.payout_window = %(window)s and batches.request_number is null and batches.state <> 'rejected'
group by batches.batch_id
