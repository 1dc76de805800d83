-- What became of a payout: its status, its holds, how often it was told of and booked, who paid after it.
select
    payouts.seller_id,
    payouts.status,
    (
        select min(holds.held_by) from payouts.holds
        where holds.seller_id = payouts.seller_id and holds.payout_window = payouts.payout_window
    ) as held_by,
    (select count(*) from payouts.rail_events where rail_events.payout_number = payouts.payout_number) as event_count,
    (
        select count(*) from payouts.ledger_transactions
        where ledger_transactions.kind = 'pay' and ledger_transactions.reference = payouts.payout_number
    ) as pay_count,
    later.payout_number as next_number,
    later.payout_window as next_window,
    later.status as next_status
from payouts.payouts
left join lateral (
    select
        after.payout_number,
        after.payout_window,
        after.status
    from payouts.payouts as after
    where
        after.seller_id = payouts.seller_id
        and after.currency = payouts.currency
        and after.payout_window > payouts.payout_window
    order by after.payout_window
    limit 1
) as later on true
where payouts.payout_number = %(payout)s
