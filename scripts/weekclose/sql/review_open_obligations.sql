-- What sellers are owed or, negative, owe beside their sales by now, per class and by where it stands: amounts in
-- hundredths.
select
    currency,
    class,
    case
        when open_exception is not null then 'exception open'
        when status = 'proposed' then 'to be selected'
        when payout_window is not null then 'in the balance'
        when status = 'applied' then 'to be collected'
        when not_before is not null then 'deferred'
        else 'next freeze'
    end as stands,
    count(*) as adjustments,
    cast(100 * sum(case direction when 'credit' then open_amount else -open_amount end) as bigint) as open
from marts.adjustments
where status in ('proposed', 'approved', 'applied')
group by currency, class, stands
order by currency collate "C", class, stands
