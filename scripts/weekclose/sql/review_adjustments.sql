-- The adjustments of a window as they enter it, or will with the next freeze, largest first: amounts in hundredths,
-- positive to the seller.
select
    adjustments.adjustment_number,
    lines.seller_id,
    lines.currency,
    adjustments.class,
    cast(100 * lines.adjustments as bigint) as amount,
    adjustments.reason
from marts.settlement_lines as lines
inner join marts.adjustments as adjustments on lines.line_id = 'adjustment:' || adjustments.adjustment_number
where lines.payout_window = %(window)s and lines.kind = 'adjustment'
order by abs(lines.adjustments) desc, adjustments.adjustment_number collate "C"
