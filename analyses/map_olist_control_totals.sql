-- What the buyers paid, held against what the sellers sold. A payment is for the whole order: it fills the
-- parts one after the other, and the last one takes what is left. So the parts' control totals add up to
-- the payments, and what is missing or too much shows once, in the last part.
with

payments as (
    select
        order_payments.order_id,
        sum(cast(order_payments.payment_value as numeric)) as paid
    from olist.order_payments
    group by order_payments.order_id
),

-- An order that was never paid has no payment to compare; one that was sold must have one.
parts as (
    select
        order_parts.part_id,
        order_parts.gross,
        coalesce(payments.paid, 0) - sum(order_parts.gross) over so_far + order_parts.gross as left_over,
        lead(order_parts.part_id) over so_far is null as is_last
    from olist.order_parts
    left join payments on order_parts.order_id = payments.order_id
    where payments.paid is not null or order_parts.status in ('confirmed', 'fulfilled')
    window so_far as (partition by order_parts.order_id order by order_parts.part_id collate "C")
)

insert into raw.control_totals as known (order_id, amount)
select
    part_id as order_id,
    greatest(0, case when is_last then left_over else least(gross, left_over) end) as amount
from parts
on conflict (order_id) do update
    set
        amount = excluded.amount,
        loaded_at = now()
    where known.amount is distinct from excluded.amount;
