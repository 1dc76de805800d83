-- Payouts by their number, or by any reference that anybody ever named, with all of their references.
with

named as (
    select payout_number, external_reference as reference, source || ' execution' as heard, amount, executed_at as at
    from payouts.executions
    union all
    select payout_number, external_reference, 'event ' || event_id, amount, received_at
    from payouts.rail_events
    where external_reference is not null
    union all
    select payout_number, external_reference, 'look-up of ' || batch_id, amount, asked_at
    from payouts.rail_states
    where external_reference is not null
    union all
    select items.payout_number, batches.rail_batch_id, 'receipt of ' || batches.batch_id, null, null
    from payouts.batches as batches
    inner join payouts.batch_items as items on batches.batch_id = items.batch_id
    where batches.rail_batch_id is not null
),

found as (
    select payout_number from payouts.payouts where payout_number = %(term)s
    union
    select payout_number from named where reference = %(term)s
)

select
    payouts.payout_number,
    payouts.seller_id,
    payouts.payout_window,
    payouts.amount,
    payouts.currency,
    payouts.status,
    payouts.rail,
    payouts.reference_id,
    named.reference,
    named.heard,
    named.amount as executed_amount,
    named.at
from found
inner join payouts.payouts as payouts on found.payout_number = payouts.payout_number
left join named on payouts.payout_number = named.payout_number
order by payouts.payout_number collate "C", named.at nulls first, named.heard collate "C"
