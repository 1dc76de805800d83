-- What a batch brings to the rail: its items once it was claimed, before that what is ready. A person pays MANUAL.
select
    payouts.payout_number as reference,
    payouts.seller_id,
    payouts.amount,
    payouts.currency,
    payouts.rail,
    payouts.destination
from payouts.batches as batches
inner join payouts.payouts as payouts on batches.paid_with = payouts.paid_with
left join payouts.batch_items as items
    on batches.batch_id = items.batch_id and payouts.payout_number = items.payout_number
where
    batches.batch_id = %(batch_id)s
    and payouts.rail <> 'MANUAL'
    and case when batches.idempotency_key is null then payouts.status = 'ready' else items.batch_id is not null end
order by payouts.payout_number collate "C"
