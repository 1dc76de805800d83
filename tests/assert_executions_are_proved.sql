-- Each execution shows what proves it: a verified event or a look-up that spoke of this payout, or, where a
-- person has paid, a document that proves nothing else. A row here is money that is said to have left, by
-- nobody who could know.
select
    executions.execution_id,
    executions.payout_number,
    executions.source
from {{ source('payouts', 'payouts') }} as payouts
-- Looked up one by one: a join might read all of history.
inner join lateral (
    select * from {{ source('payouts', 'executions') }} as executions
    where executions.payout_number = payouts.payout_number
    offset 0
) as executions on true
left join lateral (
    select count(*) as proof_count
    from {{ source('payouts', 'proofs') }} as proofs
    inner join {{ source('payouts', 'documents') }} as documents on proofs.sha256 = documents.sha256
    where proofs.execution_id = executions.execution_id and executions.source = 'manual'
) as by_hand on true
left join lateral (
    select events.payout_number
    from {{ source('payouts', 'rail_events') }} as events
    where events.event_id = executions.event_id
    limit 1
) as events on true
left join lateral (
    select items.payout_number
    from {{ source('payouts', 'batch_items') }} as items
    where items.batch_id = executions.batch_id and items.payout_number = executions.payout_number
    limit 1
) as items on true
where
    payouts.payout_window >= {{ first_audited_window() }}
    and not coalesce(
        case
            when executions.source = 'manual' then by_hand.proof_count > 0
            when executions.event_id is not null then events.payout_number = executions.payout_number
            else items.payout_number is not null
        end,
        false
    )
