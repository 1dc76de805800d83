-- A carry-forward that was applied stands as one frozen line: with its sign, its amount and its currency, in
-- the row of its own seller, unless another person has approved otherwise; and no frozen line adjusts for
-- anything else. Invoices and cash never become lines. A row here is a deduction from the wrong seller or in
-- the wrong money, one that was taken twice, or one that nobody took.
with

adjustments as (
    select
        adjustments.adjustment_number,
        adjustments.currency,
        adjustments.payout_window,
        adjustments.class,
        coalesce(moved.to_seller, adjustments.seller_id) as seller_id,
        coalesce(reduced.to_amount, adjustments.amount)
        * case when adjustments.class = 'carry_forward_credit' then 1 else -1 end as amount
    from {{ source('payouts', 'adjustments') }} as adjustments
    left join lateral (
        select exceptions.to_seller
        from {{ source('payouts', 'exceptions') }} as exceptions
        where
            exceptions.adjustment_number = adjustments.adjustment_number
            and exceptions.decision = 'approved'
            and exceptions.to_seller is not null
        order by exceptions.decided_at desc
        limit 1
    ) as moved on true
    left join lateral (
        select exceptions.to_amount
        from {{ source('payouts', 'exceptions') }} as exceptions
        where
            exceptions.adjustment_number = adjustments.adjustment_number
            and exceptions.decision = 'approved'
            and exceptions.to_amount is not null
        order by exceptions.decided_at desc
        limit 1
    ) as reduced on true
    where adjustments.status in ('applied', 'settled') and adjustments.class like 'carry_forward%'
)

select
    adjustments.adjustment_number,
    adjustments.seller_id,
    adjustments.amount,
    lines.seller_id as taken_from,
    lines.adjustments as taken
from adjustments
-- Looked up one by one: a join might read all of history.
left join lateral (
    select * from {{ source('payouts', 'frozen_lines') }} as frozen_lines
    where frozen_lines.line_id = 'adjustment:' || adjustments.adjustment_number
    limit 1
) as lines on true
where
    (adjustments.seller_id, adjustments.currency, adjustments.payout_window, adjustments.amount)
    is distinct from (lines.seller_id, lines.currency, lines.payout_window, lines.adjustments)
union all
select
    lines.source_id as adjustment_number,
    null as seller_id,
    null as amount,
    lines.seller_id as taken_from,
    lines.adjustments as taken
from {{ source('payouts', 'frozen_lines') }} as lines
left join adjustments on lines.source_id = adjustments.adjustment_number
where
    lines.kind = 'adjustment'
    and lines.payout_window >= {{ first_audited_window() }}
    and adjustments.adjustment_number is null
