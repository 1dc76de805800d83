-- Where a payout stands is where the ledger has its money: handed over it is in transit, paid it is paid,
-- and otherwise it is still, or again, owed to the seller. Where rail and books disagree, a person
-- decides. A status without a booking is a promise that nobody keeps; a booking without a status is paid
-- again.
with

payouts as (
    select * from {{ source('payouts', 'payouts') }}
    where payout_window >= {{ first_audited_window() }} and status != 'awaiting_reconciliation'
),

moved as (
    select
        payouts.payout_number,
        payouts.status,
        payouts.amount,
        sum(case when entries.account = 'payouts_in_transit' then entries.amount else 0 end) as in_transit,
        sum(case when entries.account = 'payouts_paid' then entries.amount else 0 end) as paid
    from payouts
    left join {{ source('payouts', 'ledger_entries') }} as entries
        on
            payouts.seller_id = entries.seller_id
            and payouts.currency = entries.currency
            and payouts.payout_number = entries.payout_number
    group by payouts.payout_number, payouts.status, payouts.amount
)

select
    payout_number,
    status,
    amount,
    in_transit,
    paid
from moved
where
    in_transit != case when status = 'submitted' then amount else 0 end
    or paid != case when status = 'paid' then amount else 0 end
