-- What became of a payout: its status, its holds, how often it was told of and booked, what left, what came after.
select
    payouts.seller_id,
    payouts.currency,
    payouts.amount,
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
    executed.amount as executed_amount,
    payouts.reference_id,
    (
        select count(*) from payouts.proofs
        inner join payouts.executions on proofs.execution_id = executions.execution_id
        where executions.payout_number = payouts.payout_number
    ) as proof_count,
    (
        select reversals.reversed_by from payouts.reversals
        where reversals.payout_number = payouts.payout_number
    ) as reversed_by,
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
        and after.request_number is null
    order by after.payout_window
    limit 1
) as later on true
left join lateral (
    select executions.amount from payouts.executions
    where executions.payout_number = payouts.payout_number
    order by executions.execution_id desc
    limit 1
) as executed on true
where payouts.payout_number = %(payout)s
