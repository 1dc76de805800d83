-- Each seller's part of an Olist order becomes an order of ours. What did not change is not touched.
insert into raw.orders as known (
    order_id,
    seller_id,
    currency,
    gross_amount,
    fee_amount,
    status,
    captured_at
)
select
    part_id as order_id,
    seller_id,
    'BRL' as currency,
    gross as gross_amount,
    -- The export has no fees: ten per cent of the price, none of the freight, half a cent rounded up.
    round(price * 0.10, 2) as fee_amount,
    status,
    approved_at as captured_at
from olist.order_parts
on conflict (order_id) do update
    set
        gross_amount = excluded.gross_amount,
        fee_amount = excluded.fee_amount,
        status = excluded.status,
        captured_at = excluded.captured_at,
        loaded_at = now()
    where (
        known.gross_amount is distinct from excluded.gross_amount
        or known.fee_amount is distinct from excluded.fee_amount
        or known.status is distinct from excluded.status
        or known.captured_at is distinct from excluded.captured_at
    );
