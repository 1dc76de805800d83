-- What the builds of one local day changed in a window, by what happened to the lines, in hundredths.
with

changes as (
    select
        line_id,
        currency,
        sum(cash_change) as amount,
        sum(line_change) as lines,
        bool_or(is_late) as is_late,
        bool_or(kind = 'adjustment') as is_adjustment
    from intermediate.int_line_changes
    where
        payout_window = %(window)s
        and cast(as_of at time zone %(zone)s as date) = cast(cast(%(as_of)s as timestamptz) at time zone %(zone)s as date)
    group by line_id, currency
)

select
    currency,
    case
        when is_adjustment then 'adjusted'
        when lines < 0 then 'gone'
        when lines = 0 then 'changed'
        when is_late then 'late'
        else 'new'
    end as part,
    cast(100 * sum(amount) as bigint) as amount,
    count(*) as lines
from changes
where amount != 0 or lines != 0
group by currency, part
order by currency collate "C", part
