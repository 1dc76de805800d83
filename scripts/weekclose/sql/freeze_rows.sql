-- The due rows as they stand.
insert into payouts.frozen_rows (
    payout_window, seller_id, currency, gross, fees, refunds, net, disputes, adjustments,
    carry_in, payable, carry_out, rail, status, block_reasons, order_count, late_line_count
)
select
    payout_window,
    seller_id,
    currency,
    gross,
    fees,
    refunds,
    net,
    disputes,
    adjustments,
    carry_in,
    payable,
    carry_out,
    rail,
    status,
    block_reasons,
    order_count,
    late_line_count
from intermediate.int_window_rows
where payout_window = %(window)s
