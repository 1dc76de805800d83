-- What rails told us, and what became of it or what it waits for.
select
    inbox.event_id,
    inbox.received_at,
    inbox.rail,
    inbox.rail_event_id,
    inbox.event_type,
    inbox.status,
    inbox.payout_number,
    inbox.amount,
    inbox.currency,
    inbox.external_reference,
    inbox.failure_code,
    inbox.failure_reason,
    inbox.occurred_at,
    inbox.decided_at,
    inbox.payout_window,
    inbox.seller_id,
    inbox.payout_status,
    inbox.payout_amount,
    inbox.verdict,
    outcomes.outcome is null as is_waiting
from payouts.event_outcomes as outcomes
inner join payouts.inbox on outcomes.event_id = inbox.event_id
where
    (outcomes.outcome is null or not %(waiting_only)s)
    and (cast(%(event_ids)s as bigint []) is null or outcomes.event_id = any(%(event_ids)s))
order by inbox.event_id
