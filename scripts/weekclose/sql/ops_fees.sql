-- What was earned in fees in the newest windows: amounts in hundredths, oldest first.
select
    payout_window,
    currency,
    cast(100 * gross as bigint) as gross,
    cast(100 * sale_fees as bigint) as sale_fees,
    cast(100 * fee_refunds as bigint) as fee_refunds,
    invoice_count,
    cast(100 * invoiced_paid as bigint) as invoiced_paid,
    cast(100 * invoiced_open as bigint) as invoiced_open,
    cast(100 * net_fees as bigint) as net_fees,
    cast(fee_rate as double precision) as fee_rate
from marts.fee_collection
where payout_window > cast(%(since)s as date)
order by payout_window, currency collate "C"
