-- Who is paid through which rail, per region, and how it went the week before: amounts in hundredths.
with

-- Each window by its key, so that the payouts beside its rows are its own and not those of all years.
rows_of_both as (
    select
        true as is_this,
        seller_id,
        currency,
        rail,
        status,
        payable
    from marts.settlement_windows
    where payout_window = %(window)s
    union all
    select
        false as is_this,
        seller_id,
        currency,
        rail,
        status,
        payable
    from marts.settlement_windows
    where payout_window = cast(%(window)s as date) - 7
)

select
    found.currency,
    found.rail,
    sellers.region,
    count(*) filter (where found.is_this and found.payable > 0) as sellers,
    cast(100 * coalesce(sum(found.payable) filter (where found.is_this), 0) as bigint) as amount,
    cast(
        100 * coalesce(
            sum(found.payable) filter (where found.is_this and found.status != 'blocked' and found.rail != 'MANUAL'), 0
        ) as bigint
    ) as funding,
    cast(
        100 * coalesce(
            sum(found.payable) filter (where found.is_this and found.status != 'blocked' and found.rail = 'MANUAL'), 0
        ) as bigint
    ) as by_hand,
    count(*) filter (where not found.is_this and found.status in ('failed', 'returned')) as failed_last_week,
    count(*) filter (where not found.is_this and found.status in ('paid', 'reversed')) as paid_last_week
from rows_of_both as found
left join staging.stg_sellers as sellers on found.seller_id = sellers.seller_id
group by found.currency, found.rail, sellers.region
having count(*) filter (where found.is_this) > 0
order by found.currency collate "C", funding desc, found.rail collate "C", sellers.region collate "C"
