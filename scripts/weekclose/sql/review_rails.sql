-- Who is paid through which rail, per region, and how it went the week before: amounts in hundredths.
with

rows_of_both as (
    select
        windows.payout_window = %(window)s as is_this,
        windows.currency,
        windows.rail,
        sellers.region,
        windows.status,
        windows.payable
    from marts.settlement_windows as windows
    left join staging.stg_sellers as sellers on windows.seller_id = sellers.seller_id
    where windows.payout_window in (cast(%(window)s as date), cast(%(window)s as date) - 7)
)

select
    currency,
    rail,
    region,
    count(*) filter (where is_this and payable > 0) as sellers,
    cast(100 * coalesce(sum(payable) filter (where is_this), 0) as bigint) as amount,
    cast(
        100 * coalesce(sum(payable) filter (where is_this and status != 'blocked' and rail != 'MANUAL'), 0) as bigint
    ) as funding,
    cast(
        100 * coalesce(sum(payable) filter (where is_this and status != 'blocked' and rail = 'MANUAL'), 0) as bigint
    ) as by_hand,
    count(*) filter (where not is_this and status in ('failed', 'returned')) as failed_last_week,
    count(*) filter (where not is_this and status in ('paid', 'reversed')) as paid_last_week
from rows_of_both
group by currency, rail, region
having count(*) filter (where is_this) > 0
order by currency collate "C", funding desc, rail collate "C", region collate "C"
