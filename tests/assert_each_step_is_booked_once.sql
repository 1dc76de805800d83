-- Each step of a payout is booked once and in full: its money has come to an account as often as it has left
-- it again, and once more on the one where it is. So a payout that is paid was paid once, and one that failed
-- was not, unless that was undone by a booking of its own. Sums alone would not tell a payout that was
-- booked twice from two that were half booked.
with

payouts as (
    select
        payout_number,
        amount,
        case when status in ('submitted', 'awaiting_reconciliation') then 1 else 0 end as in_transit,
        case when status in ('paid', 'reversed') then 1 else 0 end as paid
    from {{ source('payouts', 'payouts') }}
    where payout_window >= {{ first_audited_window() }}
)

select
    payouts.payout_number,
    payouts.amount,
    steps.to_transit - steps.from_transit as in_transit,
    steps.to_paid - steps.from_paid as paid,
    steps.of_other_amounts
from payouts
-- Counted one by one: a join might read all of the ledger.
inner join lateral (
    select
        count(*) filter (where entries.account = 'payouts_in_transit' and entries.amount > 0) as to_transit,
        count(*) filter (where entries.account = 'payouts_in_transit' and entries.amount < 0) as from_transit,
        count(*) filter (where entries.account = 'payouts_paid' and entries.amount > 0) as to_paid,
        count(*) filter (where entries.account = 'payouts_paid' and entries.amount < 0) as from_paid,
        count(*) filter (where abs(entries.amount) != payouts.amount) as of_other_amounts
    from {{ source('payouts', 'ledger_entries') }} as entries
    where entries.payout_number = payouts.payout_number
) as steps on true
where
    steps.to_transit - steps.from_transit != payouts.in_transit
    or steps.to_paid - steps.from_paid != payouts.paid
    or steps.of_other_amounts > 0
