-- A window's rows in the columns and the order that finance knows.
select
    seller_id,
    payout_window,
    gross,
    fees,
    refunds,
    net,
    rail,
    status,
    currency,
    window_ends_at,
    reserve_closes_at,
    disputes,
    adjustments,
    carry_in,
    payable,
    carry_out,
    block_reasons,
    payout_number,
    failure_reason,
    order_count,
    late_line_count,
    frozen_at,
    held
from marts.settlement_windows
where payout_window = %(window)s
order by seller_id collate "C", currency collate "C"
