-- What the late lines of a window move, per seller and currency, in hundredths.
select
    seller_id,
    currency,
    count(*) as lines,
    cast(100 * sum(gross - fees - refunds - disputes + adjustments) as bigint) as amount
from marts.settlement_lines
where payout_window = %(window)s and is_late
group by seller_id, currency
