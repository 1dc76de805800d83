-- The lines that changed a window most, fifty of each currency, as they were and as they are, in hundredths.
with

changes as (
    select
        line_id,
        currency,
        min(seller_id) as seller_id,
        min(order_id) as order_id,
        min(kind) as kind,
        min(event_at) as event_at,
        sum(cash_change) as amount,
        sum(line_change) as lines,
        bool_or(is_late) as is_late
    from intermediate.int_line_changes
    where
        payout_window = %(window)s
        and cast(as_of at time zone %(zone)s as date) = cast(cast(%(as_of)s as timestamptz) at time zone %(zone)s as date)
    group by line_id, currency
),

ranked as (
    select
        changes.*,
        row_number() over (partition by currency order by abs(amount) desc, line_id collate "C") as place
    from changes
    where amount != 0 or lines != 0
)

select
    ranked.line_id,
    ranked.currency,
    ranked.seller_id,
    ranked.order_id,
    ranked.kind,
    ranked.event_at,
    case
        when ranked.kind = 'adjustment' then 'adjusted'
        when ranked.lines < 0 then 'gone'
        when ranked.lines = 0 then 'changed'
        when ranked.is_late then 'late'
        else 'new'
    end as part,
    cast(100 * (coalesce(lines.cash, 0) - ranked.amount) as bigint) as before,
    cast(100 * coalesce(lines.cash, 0) as bigint) as after
from ranked
left join lateral (
    select gross - fees - refunds - disputes + adjustments as cash
    from marts.settlement_lines
    where
        settlement_lines.line_id = ranked.line_id
        and settlement_lines.payout_window = %(window)s
        and settlement_lines.seller_id = ranked.seller_id
    -- So that the line is looked up in each part of the view.
    offset 0
) as lines on true
where ranked.place <= 50
order by ranked.currency collate "C", ranked.place
