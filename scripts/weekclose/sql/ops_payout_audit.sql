-- Who did what about some payouts, oldest first: to them, their batches and requests, or their sellers in their
-- window.
with

entities as (
    select
        payout_number,
        'payout:' || payout_number as entity
    from payouts.payouts
    where payout_number = any(%(numbers)s)
    union all
    select
        payout_number,
        'batch:' || batch_id
    from payouts.batch_items
    where payout_number = any(%(numbers)s)
    union all
    select
        payout_number,
        'request:' || request_number
    from payouts.payouts
    where payout_number = any(%(numbers)s) and request_number is not null
    union all
    select
        payout_number,
        concat('window:', to_char(payout_window, 'YYYY-MM-DD'), ' seller:', seller_id)
    from payouts.payouts
    where payout_number = any(%(numbers)s)
)

select
    entities.payout_number,
    entries.entry_id,
    entries.at,
    entries.actor,
    entries.action,
    entries.entity,
    entries.reason
from entities
inner join payouts.audit_log as entries on entities.entity = entries.entity
order by entities.payout_number collate "C", entries.entry_id
