-- The due rows as they stand; one whose wallet fails its checksum is blocked.
insert into payouts.frozen_rows (
    payout_window, seller_id, currency, gross, fees, refunds, net, disputes, adjustments,
    carry_in, payable, carry_out, rail, status, block_reasons, order_count, late_line_count
)
select
    due.payout_window,
    due.seller_id,
    due.currency,
    due.gross,
    due.fees,
    due.refunds,
    due.net,
    due.disputes,
    due.adjustments,
    due.carry_in,
    due.payable,
    due.carry_out,
    due.rail,
    case when bad.seller_id is null then due.status else 'blocked' end as status,
    case when bad.seller_id is null then due.block_reasons else array['invalid_wallet'] end as block_reasons,
    due.order_count,
    due.late_line_count
from intermediate.int_window_rows as due
left join bad_destinations as bad
    on due.payout_window = bad.payout_window and due.seller_id = bad.seller_id and due.currency = bad.currency
where due.payout_window = %(window)s
