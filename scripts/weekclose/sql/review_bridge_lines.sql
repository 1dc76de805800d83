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

currencies as (select currency from changes group by currency),

-- Fifty are kept while all are looked through: sorting a million lines for them costs more than finding them.
largest as (
    select of_currency.*
    from currencies
    cross join lateral (
        select *
        from changes
        where changes.currency = currencies.currency and (changes.amount != 0 or changes.lines != 0)
        order by abs(changes.amount) desc, changes.line_id collate "C"
        limit 50
    ) as of_currency
)

select
    largest.line_id,
    largest.currency,
    largest.seller_id,
    largest.order_id,
    largest.kind,
    largest.event_at,
    case
        when largest.kind = 'adjustment' then 'adjusted'
        when largest.lines < 0 then 'gone'
        when largest.lines = 0 then 'changed'
        when largest.is_late then 'late'
        else 'new'
    end as part,
    cast(100 * (coalesce(lines.cash, 0) - largest.amount) as bigint) as before,
    cast(100 * coalesce(lines.cash, 0) as bigint) as after
from largest
left join lateral (
    select gross - fees - refunds - disputes + adjustments as cash
    from marts.settlement_lines
    where
        settlement_lines.line_id = largest.line_id
        and settlement_lines.payout_window = %(window)s
        and settlement_lines.seller_id = largest.seller_id
    -- So that the line is looked up in each part of the view.
    offset 0
) as lines on true
order by largest.currency collate "C", abs(largest.amount) desc, largest.line_id collate "C"
