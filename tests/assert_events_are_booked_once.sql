-- An event that counts as booked has moved its payout, and no second one has done so: a completed payment
-- stands in the ledger as paid. Rails tell the same thing twice and late. A row here is a payment that was
-- taken for done and is not in the books, or one fact that was booked two times.
with

booked as (
    select
        payouts.payout_number,
        events.status,
        events.booked_count
    from {{ source('payouts', 'payouts') }} as payouts
    -- Counted one by one: a join might read every event there ever was.
    inner join lateral (
        select
            rail_events.status,
            count(*) as booked_count
        from {{ source('payouts', 'rail_events') }} as rail_events
        inner join {{ source('payouts', 'event_outcomes') }} as outcomes
            on rail_events.event_id = outcomes.event_id
        where rail_events.payout_number = payouts.payout_number and outcomes.outcome = 'booked'
        group by rail_events.status
    ) as events on true
    where payouts.payout_window >= {{ first_audited_window() }}
)

select
    booked.payout_number,
    booked.status,
    booked.booked_count,
    paid.payment_count
from booked
inner join lateral (
    select count(*) as payment_count
    from {{ source('payouts', 'ledger_entries') }} as entries
    where
        entries.payout_number = booked.payout_number
        and entries.account = 'payouts_paid'
        and entries.amount > 0
) as paid on true
where booked.booked_count > paid.payment_count or booked.status != 'completed'
