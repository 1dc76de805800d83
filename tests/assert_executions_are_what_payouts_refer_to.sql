-- The reference that a payout is found by is that of its newest execution, and what is paid was executed.
-- People search by references, and send them to sellers and banks: a row here is a payment that nobody can
-- find, or that is taken for another one. What was paid before executions were noted has none.
with

noted_since as (
    select noted_at
    from {{ source('payouts', 'executions') }}
    order by execution_id
    limit 1
),

payouts as (
    select * from {{ source('payouts', 'payouts') }}
    where payout_window >= {{ first_audited_window() }}
)

select
    payouts.payout_number,
    payouts.status,
    payouts.reference_id,
    newest.external_reference
from payouts
-- Looked up one by one: a join might read all of history.
left join lateral (
    select executions.external_reference
    from {{ source('payouts', 'executions') }} as executions
    where executions.payout_number = payouts.payout_number
    order by executions.execution_id desc
    limit 1
) as newest on true
where
    payouts.reference_id is distinct from newest.external_reference
    or (
        payouts.status in ('paid', 'reversed')
        and newest.external_reference is null
        and payouts.status_changed_at >= (select noted_since.noted_at from noted_since)
    )
