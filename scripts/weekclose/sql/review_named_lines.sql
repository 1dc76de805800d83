-- Whose some lines are, and what they move, in hundredths.
select
    line_id,
    seller_id,
    currency,
    cast(100 * (gross - fees - refunds - disputes + adjustments) as bigint) as amount
from marts.settlement_lines
where line_id = any(%(lines)s)
