-- The payouts of the windows before and of requests since, newest first, and whether each had taken its money out of the balance
-- at the instant for which the later row was made. The ledger knows; before it was booked, the status does.
with

booked as (
    select
        entries.payout_number,
        sum(entries.amount) as amount
    from payouts.ledger_entries as entries
    inner join payouts.ledger_transactions as transactions on entries.transaction_id = transactions.transaction_id
    where
        entries.seller_id = %(seller)s
        and entries.currency = %(currency)s
        and entries.account = 'seller_payable'
        and entries.payout_number is not null
        and transactions.booked_at <= %(at)s
    group by entries.payout_number
)

select
    payouts.payout_number,
    payouts.payout_window,
    payouts.request_number,
    payouts.amount,
    payouts.status,
    payouts.block_reasons,
    payouts.failure_reason,
    case
        when booked.amount is not null then booked.amount <> 0
        when payouts.status_changed_at <= %(at)s
            then payouts.status in ('ready', 'submitted', 'paid', 'reversed', 'awaiting_reconciliation')
        when payouts.request_number is not null then true
        else frozen.status = 'ready'
    end as had_left
from payouts.payouts as payouts
inner join payouts.frozen_rows as frozen
    on
        payouts.payout_window = frozen.payout_window
        and payouts.seller_id = frozen.seller_id
        and payouts.currency = frozen.currency
left join booked on payouts.payout_number = booked.payout_number
where
    payouts.seller_id = %(seller)s
    and payouts.currency = %(currency)s
    and payouts.payout_window < %(window)s
    and (payouts.request_number is null or payouts.created_at <= %(at)s)
union all
-- Due and not frozen yet: the window that pays, and what it is about to take.
select
    null as payout_number,
    payout_window,
    null as request_number,
    payable as amount,
    status,
    block_reasons,
    null as failure_reason,
    status = 'ready' as had_left
from marts.settlement_windows
where
    seller_id = %(seller)s
    and currency = %(currency)s
    and payout_window < %(window)s
    and frozen_at is null
    and payable > 0
order by payout_window desc
