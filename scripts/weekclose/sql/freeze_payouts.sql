-- One payout per row with money to pay, numbered in the order of the sellers.
insert into payouts.payouts (
    payout_window, seller_id, currency, amount, rail, destination, status, block_reasons
)
select
    frozen.payout_window,
    frozen.seller_id,
    frozen.currency,
    frozen.payable,
    frozen.rail,
    due.destination,
    frozen.status,
    frozen.block_reasons
from payouts.frozen_rows as frozen
inner join intermediate.int_window_rows as due
    on
        frozen.payout_window = due.payout_window
        and frozen.seller_id = due.seller_id
        and frozen.currency = due.currency
where frozen.payout_window = %(window)s and frozen.payable > 0
order by frozen.seller_id collate "C", frozen.currency collate "C"
