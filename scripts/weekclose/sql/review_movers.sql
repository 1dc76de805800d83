-- The sellers whose net changed most against the window before, ten of each currency, in hundredths.
with

-- Each window by its key, so that the payouts beside its rows are its own and not those of all years.
nets_of_both as (
    select
        seller_id,
        currency,
        net,
        0 as previous
    from marts.settlement_windows
    where payout_window = %(window)s and status != 'before_start'
    union all
    select
        seller_id,
        currency,
        0 as net,
        net as previous
    from marts.settlement_windows
    where payout_window = cast(%(window)s as date) - 7 and status != 'before_start'
),

nets as (
    select
        seller_id,
        currency,
        sum(net) as net,
        sum(previous) as previous
    from nets_of_both
    group by seller_id, currency
),

ranked as (
    select
        nets.*,
        row_number() over (
            partition by currency order by abs(net - previous) desc, seller_id collate "C"
        ) as place
    from nets
    where net != previous
)

select
    ranked.seller_id,
    coalesce(sellers.display_name, '') as name,
    ranked.currency,
    cast(100 * ranked.net as bigint) as net,
    cast(100 * ranked.previous as bigint) as previous
from ranked
left join staging.stg_sellers as sellers on ranked.seller_id = sellers.seller_id
where ranked.place <= 10
order by ranked.currency collate "C", ranked.place
