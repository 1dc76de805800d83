-- Where a seller's payouts of a window stand: the batch they went with, the rail's last word, what waits.
select
    payouts.payout_number,
    payouts.currency,
    payouts.amount,
    payouts.status,
    payouts.status_changed_at,
    payouts.rail,
    payouts.destination,
    payouts.external_reference,
    payouts.failure_code,
    payouts.failure_reason,
    batches.batch_id,
    batches.state as batch_state,
    batches.rail as batch_rail,
    batches.rail_batch_id,
    states.status as rail_status,
    states.is_final as rail_is_final,
    states.amount as rail_amount,
    states.asked_at,
    array(
        select inbox.verdict
        from payouts.inbox as inbox
        where inbox.payout_number = payouts.payout_number and inbox.outcome is null
        order by inbox.event_id
    ) as waiting_events
from payouts.payouts as payouts
left join payouts.batch_items as items
    on payouts.payout_number = items.payout_number and items.released_at is null
left join payouts.batches as batches on items.batch_id = batches.batch_id
left join payouts.rail_states as states
    on items.batch_id = states.batch_id and items.payout_number = states.payout_number
where
    payouts.seller_id = %(seller)s
    and payouts.payout_window = %(window)s
    and payouts.request_number is null
