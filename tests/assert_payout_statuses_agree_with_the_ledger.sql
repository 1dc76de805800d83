-- Where a payout stands is where the ledger has its money: handed over, or disputed between rail and books,
-- it is in transit, paid or reversed it is paid, and otherwise it is still, or again, owed to its seller. A
-- status without a booking is a promise that nobody keeps; a booking without a status is paid again.
select
    payouts.payout_number,
    payouts.status,
    payouts.amount,
    moved.owed,
    moved.in_transit,
    moved.paid
from {{ source('payouts', 'payouts') }} as payouts
-- Added up one by one: a join might read all of the ledger.
inner join lateral (
    select
        coalesce(sum(entries.amount) filter (where entries.account = 'seller_payable'), 0) as owed,
        coalesce(sum(entries.amount) filter (where entries.account = 'payouts_in_transit'), 0) as in_transit,
        coalesce(sum(entries.amount) filter (where entries.account = 'payouts_paid'), 0) as paid,
        coalesce(
            bool_and(entries.seller_id = payouts.seller_id and entries.currency = payouts.currency), true
        ) as is_of_the_seller
    from {{ source('payouts', 'ledger_entries') }} as entries
    where entries.payout_number = payouts.payout_number
) as moved on true
where
    payouts.payout_window >= {{ first_audited_window() }}
    and (
        not moved.is_of_the_seller
        or moved.owed != -moved.in_transit - moved.paid
        or moved.in_transit
        != case when payouts.status in ('submitted', 'awaiting_reconciliation') then payouts.amount else 0 end
        or moved.paid != case when payouts.status in ('paid', 'reversed') then payouts.amount else 0 end
    )
